"""Words of a shadow run's remarks, Chinese and English."""
# ruff: noqa: RUF001 - full-width punctuation is right in Chinese

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, tuple[str, str]] = {
    # refuse
    "island_split": (
        "带电岛 {island} 将分裂为 {pieces} 个：较小部分为 {names}",
        "the live island {island} splits into {pieces}: apart come {names}",
    ),
    "goes_dead": (
        "{count} 个带电设备在新模型中失电或接地：{names}",
        "{count} energised equipment are dead in the candidate: {names}",
    ),
    "alarm_lost": (
        "{count} 个正在告警的测点将消失：{names}",
        "{count} points with an alarm standing vanish: {names}",
    ),
    "coverage": (
        "{count} 个现有良好量测的开关或注入失去量测：{names}",
        "{count} switches or injections that are measured well now lose their measurement: {names}",
    ),
    # to look at
    "removed_live": (
        "{count} 个带电设备从模型中删除：{names}",
        "{count} equipment that are energised now leave the model: {names}",
    ),
    "comes_alive": ("{count} 个失电设备变为带电：{names}", "{count} dead equipment become energised: {names}"),
    "turns_unknown": (
        "{count} 个设备的带电状态变为未知（开关位置未知）：{names}",
        "the state of {count} equipment becomes unknown, for unknown switch positions: {names}",
    ),
    "turns_earthed": ("{count} 个设备变为接地：{names}", "{count} dead equipment become earthed: {names}"),
    "loses_earth": ("{count} 个接地设备不再接地：{names}", "{count} earthed equipment are not earthed any more: {names}"),
    "island_joined": ("{pieces} 个带电岛合并为一个：{names}", "{pieces} live islands become one: {names}"),
    "points_lost": (
        "{count} 个测点将消失，其中 {valued} 个有良好值：{names}",
        "{count} points vanish, {valued} of them with a good value: {names}",
    ),
    "points_new": ("{count} 个新测点，应用前无值：{names}", "{count} new points, without a value before the apply: {names}"),
    "points_changed": ("{count} 个测点含义改变：{names}", "{count} points change their meaning: {names}"),
    "flows_none": ("{side}未计算潮流：{reason}", "no flows of the {side}: {reason}"),
    "flows_dc": (
        "{side}仅有直流潮流（不含网损与无功）：{reason}",
        "DC flows only, without losses and reactive power, of the {side}: {reason}",
    ),
    "flows_differ": (
        "{count} 处潮流相差超过 {limit:g} MW：{names}",
        "{count} flows differ by more than {limit:g} MW: {names}",
    ),
    "flows_fit": (
        "与实测潮流的偏差（中位/最大 MW）：现在 {before}，新模型 {after}",
        "difference from the measured flows (median/greatest, MW): now {before}, candidate {after}",
    ),
    "assumed": (
        "{side}有 {count} 个负荷或机组无实测功率（负荷取文件值，机组取 0）：{names}",
        "{side}: {count} loads or machines have no measured power (loads as in the files, machines 0): {names}",
    ),
    "unmeasured_new": (
        "{count} 个新开关或注入没有测点：{names}",
        "{count} new switches or injections have no point to measure them: {names}",
    ),
    # sides and heads
    "running": ("现运行模型", "running model"),
    "candidate": ("新模型", "candidate"),
    "head_live": ("试运行：以实时值（序号 {seq}）比较", "shadow run on live values (sequence number {seq})"),
    "head_files": (
        "试运行：无服务器，位置与功率取自文件",
        "shadow run without a server: positions and powers are those of the files",
    ),
    "verdict_refuse": ("结论：不可应用", "verdict: do not apply"),
    "verdict_look": ("结论：可应用，请先核对上述各项", "verdict: can be applied; look at the remarks first"),
    "verdict_ok": ("结论：与现状一致", "verdict: as now"),
    "refuse": ("拒绝", "REFUSE"),
    "look": ("核对", "look"),
    "more": ("等共 {count} 个", "and {count} more"),
    # rows of the table
    "row_equipment": ("设备：带电/失电/接地/未知", "equipment: energised/dead/earthed/unknown"),
    "row_network": ("节点/母线/带电岛", "nodes/buses/live islands"),
    "row_switches": ("开关位置已知/总数", "switch positions known/all"),
    "row_injections": ("注入功率已知/总数", "injections known/all"),
    "row_points": ("测点有良好值/总数", "points with a good value/all"),
    "row_slack": ("发电与负荷及网损之差 MW", "what generation lacks of load and losses, MW"),
}


def say(key: str, lang: str, **values: object) -> str:
    """A sentence in ``zh`` or ``en``."""
    return WORDS[key][0 if lang == "zh" else 1].format(**values)
