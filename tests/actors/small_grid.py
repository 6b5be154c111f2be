"""A grid of two stations in two areas, four points each: as small as a model can be that everything runs on."""

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#"
 xmlns:md="http://iec.ch/TC57/61970-552/ModelDescription/1#" xmlns:sc="urn:scada-ems:sc:1#">
 <md:FullModel rdf:about="urn:uuid:{number:08d}-0000-4000-8000-000000000000">
  <md:Model.profile>{profile}</md:Model.profile>
 </md:FullModel>
"""
EQUIPMENT = """ <cim:Substation rdf:ID="_s{n}">
  <cim:IdentifiedObject.name>{name}</cim:IdentifiedObject.name>
  <cim:Substation.Region rdf:resource="#_r"/>
 </cim:Substation>
 <cim:VoltageLevel rdf:ID="_v{n}">
  <cim:IdentifiedObject.name>110kV</cim:IdentifiedObject.name>
  <cim:VoltageLevel.Substation rdf:resource="#_s{n}"/>
  <cim:VoltageLevel.BaseVoltage rdf:resource="#_b"/>
 </cim:VoltageLevel>
 <cim:ConnectivityNode rdf:ID="_n{n}">
  <cim:IdentifiedObject.name>N</cim:IdentifiedObject.name>
  <cim:ConnectivityNode.ConnectivityNodeContainer rdf:resource="#_v{n}"/>
 </cim:ConnectivityNode>
 <cim:BusbarSection rdf:ID="_bb{n}">
  <cim:IdentifiedObject.name>BB</cim:IdentifiedObject.name>
  <cim:Equipment.EquipmentContainer rdf:resource="#_v{n}"/>
 </cim:BusbarSection>
 <cim:Terminal rdf:ID="_t{n}">
  <cim:IdentifiedObject.name>T</cim:IdentifiedObject.name>
  <cim:ACDCTerminal.sequenceNumber>1</cim:ACDCTerminal.sequenceNumber>
  <cim:Terminal.ConductingEquipment rdf:resource="#_bb{n}"/>
  <cim:Terminal.ConnectivityNode rdf:resource="#_n{n}"/>
 </cim:Terminal>
"""
SHARED = """ <cim:GeographicalRegion rdf:ID="_g">
  <cim:IdentifiedObject.name>Land</cim:IdentifiedObject.name>
 </cim:GeographicalRegion>
 <cim:SubGeographicalRegion rdf:ID="_r">
  <cim:IdentifiedObject.name>Region</cim:IdentifiedObject.name>
  <cim:SubGeographicalRegion.Region rdf:resource="#_g"/>
 </cim:SubGeographicalRegion>
 <cim:BaseVoltage rdf:ID="_b">
  <cim:IdentifiedObject.name>110</cim:IdentifiedObject.name>
  <cim:BaseVoltage.nominalVoltage>110</cim:BaseVoltage.nominalVoltage>
 </cim:BaseVoltage>
"""
STATION = """ <cim:RemoteUnit rdf:ID="_u{n}">
  <cim:IdentifiedObject.name>{name} RTU</cim:IdentifiedObject.name>
  <sc:RemoteUnit.protocol>iec104</sc:RemoteUnit.protocol>
  <sc:RemoteUnit.host>127.0.0.1</sc:RemoteUnit.host>
  <sc:RemoteUnit.port>{port}</sc:RemoteUnit.port>
  <sc:RemoteUnit.commonAddress>{n}</sc:RemoteUnit.commonAddress>
 </cim:RemoteUnit>
"""
POINT = """ <cim:Analog rdf:ID="_a{n}{k}">
  <cim:IdentifiedObject.name>{what}</cim:IdentifiedObject.name>
  <cim:Measurement.measurementType>LineToLineVoltage</cim:Measurement.measurementType>
  <cim:Measurement.unitMultiplier rdf:resource="http://iec.ch/TC57/CIM100#UnitMultiplier.k"/>
  <cim:Measurement.unitSymbol rdf:resource="http://iec.ch/TC57/CIM100#UnitSymbol.V"/>
  <cim:Measurement.PowerSystemResource rdf:resource="#_bb{n}"/>
  <cim:Measurement.Terminal rdf:resource="#_t{n}"/>
 </cim:Analog>
 <cim:AnalogValue rdf:ID="_av{n}{k}">
  <cim:IdentifiedObject.name>{what}</cim:IdentifiedObject.name>
  <cim:AnalogValue.Analog rdf:resource="#_a{n}{k}"/>
 </cim:AnalogValue>
 <cim:RemoteSource rdf:ID="_rs{n}{k}">
  <cim:IdentifiedObject.name>{what}</cim:IdentifiedObject.name>
  <cim:RemotePoint.RemoteUnit rdf:resource="#_u{n}"/>
  <cim:RemoteSource.MeasurementValue rdf:resource="#_av{n}{k}"/>
  <sc:RemotePoint.ioa>{ioa}</sc:RemotePoint.ioa>
  <sc:RemotePoint.typeId>36</sc:RemotePoint.typeId>
 </cim:RemoteSource>
"""
WHAT = ("Uab", "Ubc", "Uca", "Ua")
EQ = "http://iec.ch/TC57/ns/CIM/CoreEquipment-EU/3.0"
END = "</rdf:RDF>\n"


def write_grid(folder, ports=(1, 1)):
    """Write it; stations Beishan (1) and Longtan (2), each with an SC file of its own."""
    folder.mkdir(parents=True)
    names = ("Beishan", "Longtan")
    body = "".join(EQUIPMENT.format(n=n, name=name) for n, name in enumerate(names, 1))
    (folder / "EQ.xml").write_text(HEAD.format(number=1, profile=EQ) + SHARED + body + END, "utf-8")
    for n, name in enumerate(names, 1):
        points = [POINT.format(n=n, k=k, what=what, ioa=100 + k) for k, what in enumerate(WHAT)]
        head = HEAD.format(number=n + 1, profile="urn:scada-ems:sc:1#")
        station = STATION.format(n=n, name=name, port=ports[n - 1])
        (folder / f"SC-{name}.xml").write_text(head + station + "".join(points) + END, "utf-8")
    return folder
