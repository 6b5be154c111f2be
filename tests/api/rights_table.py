"""What each role may call, written by hand from docs/security/rights.md and IEC 62351-8: the judge of the code, not its mirror.

A line is ``Service/Method roles places act``. Roles: letters of those that may. Places from where they may, besides a control
room: ``v`` = a workstation of no zone, ``r`` = a zone that may look and read history only. What the call does: ``-`` = changes
nothing, ``session`` = of one's own session, ``area`` = acts on objects and is kept in the areas of its sender by the API or the
ledger, ``desk`` = is judged, with its areas, by the desk or application that knows the object, ``all`` = acts on no object of the
plant.
"""

ROLE_OF = {
    "V": "VIEWER",
    "O": "OPERATOR",
    "E": "ENGINEER",
    "I": "INSTALLER",
    "A": "SECADM",
    "U": "SECAUD",
    "R": "RBACMNT",
    "G": "GUARDIAN",
    "L": "SHIFT_LEADER",
    "D": "DISPATCHER",
    "S": "SERVER",
}

TABLE = """
Session/Login              VOEIAURGLDS vr session
Session/Logout             VOEIAURGLDS vr session
Session/Rekey              VOEIAURGLDS vr session
Session/GetChallenge       VOEIAURGLDS vr session
Model/GetModel             VOEIAURGLD  vr -
Model/ListPoints           VOEIAURGLD  vr -
Model/ListControls         VOEIAURGLD  vr -
Model/GetDiagram           VOEIAURGLD  vr -
Model/Search               VOEIAURGLD  vr -
Realtime/Read              VOEIAURGLD  vr -
Realtime/Subscribe         VOEIAURGLD  vr -
Realtime/GetStatus         VOEIAURGLD  vr -
Events/ListAlarms          VOEIAURGLD  vr -
Events/ListEvents          VOEIAURGLD  vr -
Events/Subscribe           VOEIAURGLD  vr -
Events/ListSuppressed      VOEIAURGLD  vr -
Events/GetAlarmKpi         VOEGL       r  -
Events/Recall              VOEGL       r  -
Events/ListRecalls         VOEGL       r  -
Events/Acknowledge         OL          .  area
Events/Shelve              OL          .  area
Events/Unshelve            OL          .  area
Events/SetAlarmService     E           .  area
OperatorData/Hold          OL          .  area
OperatorData/Release       OL          .  area
OperatorData/PlaceTag      OL          .  area
OperatorData/AddNote       OL          .  area
OperatorData/Remove        OL          .  area
OperatorData/List          VOEIAURGLD  vr -
Control/Select             OL          .  desk
Control/Confirm            G           .  desk
Control/Execute            OL          .  desk
Control/Cancel             OL          .  desk
Control/Adjust             OL          .  desk
Control/SetMode            OEL         .  area
Control/ListSequences      VOEIAURGLD  vr -
Control/CheckInterlocks    VOEIAURGLD  vr -
Programmes/ListProgrammes  VOEIAURGLD  vr -
Programmes/GetProgramme    VOEIAURGLD  vr -
Programmes/ListRuns        VOEIAURGLD  vr -
Programmes/Save            OEIL        .  desk
Programmes/Start           OL          .  desk
Programmes/Confirm         G           .  desk
Programmes/Command         OL          .  desk
Regulation/GetAgc          VOEIAURGLD  vr -
Regulation/GetAvc          VOEIAURGLD  vr -
Regulation/Explain         VOEIAURGLD  vr -
Regulation/WhatIf          OEL         .  -
Regulation/GetPerformance  VOEGL       r  -
Regulation/GetReport       VOEGL       r  -
Dispatch/SendSetpoint      D           .  area
Dispatch/SendSchedule      D           .  area
Dispatch/SendMode          D           .  area
Dispatch/WithdrawOrder     D           .  desk
Dispatch/Decide            OL          .  desk
Dispatch/GetOrder          VOEIAURGLD  vr -
Dispatch/GetDispatch       VOEIAURGLD  vr -
Dispatch/EditSchedule      OL          .  area
Dispatch/ListSchedules     VOEIAURGLD  vr -
Dispatch/GetSchedule       VOEIAURGLD  vr -
History/Query              VOEGL       r  -
History/GetHistoryStatus   VOEGL       r  -
History/Backfill           EI          .  area
Channels/GetChannel        VOEIAURGLD  vr -
Channels/Trace             OEL         .  area
Channels/ListRecordings    OEL         .  -
Channels/GetUpstream       VOEIAURGLD  vr -
Replay/Start               OEL         .  -
Replay/Command             OEL         .  -
Replay/GetState            OEL         .  -
Replay/Read                OEL         .  -
Engineering/ListVersions   VOEIAURGLD  vr -
Engineering/GetVersion     VOEIAURGLD  vr -
Engineering/GetLog         VOEIAURGLD  vr -
Engineering/Download       EI          .  -
Engineering/Upload         EI          .  -
Engineering/Propose        EI          .  desk
Engineering/Approve        EI          .  desk
Engineering/Withdraw       EI          .  desk
Engineering/Apply          EI          .  desk
Engineering/Rollback       EI          .  desk
Security/ListUsers         AU          .  -
Security/GetPolicy         VOEIAURGLD  vr -
Security/ListSessions      AU          .  -
Security/SetUser           A           .  all
Security/EndSession        A           .  all
Security/LoadRevocations   A           .  all
Audit/Query                U           .  -
Audit/Export               U           .  -
Audit/GetCheckpoint        VOEIAURGLD  vr -
Audit/Prove                U           .  -
"""

ROWS = {
    method: (frozenset(roles), frozenset(places) - {"."}, act)
    for method, roles, places, act in (line.split() for line in TABLE.strip().splitlines())
}
