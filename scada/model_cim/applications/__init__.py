"""What AGC and AVC regulate, read from CIM and the SC profile into the tables of :mod:`scada.model_cim.regulation`."""

from scada.model_cim.applications.areas import build_areas
from scada.model_cim.applications.zones import build_zones

__all__ = ["build_areas", "build_zones"]
