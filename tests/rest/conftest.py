import pytest
from rest.rest_rig import Rig

from scada.core.clock import VirtualClock


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
async def rig(tmp_path, clock):
    rig = Rig(tmp_path, clock)
    await rig.hear()
    return rig
