"""Rules that others look for: the reader, templates, the builders of the tables, the SC profile, expressions, waivers."""

from __future__ import annotations

from typing import Final

from scada.model_cim.findings import Severity
from scada.model_cim.rules.catalogue import define

_RULES: Final = """
xml.malformed|fatal|XML that is not well-formed or cut off|XML 格式错误或文件不完整
xml.entity|fatal|an entity is declared|声明了 XML 实体
xml.depth|fatal|elements nested too deep|元素嵌套过深
xml.text|fatal|a value longer than 1 MiB|取值超过 1 MiB
xml.size|fatal|more than 4 GiB of XML|XML 总量超过 4 GiB
xml.token|fatal|a tag, comment or value that has no end|标签、注释或取值过长
xml.names|fatal|too many different properties or namespaces|属性或命名空间种类过多
xml.encoding|fatal|not in the encoding it names|编码与声明不符
xml.lost|warning|content that is not kept|有内容未被保留
file.unreadable|fatal|a file that cannot be read to its end|文件无法读完
file.foreign|info|a file that is not RDF; skipped|不是 RDF 的文件(已跳过)
file.difference|fatal|a difference model among the files of a model|模型文件中混入了差异模型
zip.member|fatal|a member of a zip that cannot be unpacked|压缩包成员无法解压
zip.name|warning|a zip with a member of a name that cannot be used|压缩包成员名称无效
zip.nested|fatal|zips nested too deep|压缩包嵌套过深
id.similar|warning|two ids that differ by case only|两个标识仅大小写不同
id.duplicate|error|the same rdf:ID twice|rdf:ID 重复
id.missing|error|an object without rdf:ID and rdf:about|对象没有 rdf:ID 或 rdf:about
id.undefined|warning|an object that is described but defined nowhere|对象有描述而无定义
ref.dangling|error|a reference to an object that no file has|引用的对象不存在
value.wrong|error|not the number or truth value it should be|不是应有的数值或真值
sc.class|error|a class the SC profile does not have|SC 扩展中没有该类
sc.property|error|a property the SC profile does not have|SC 扩展中没有该属性
sc.domain|error|a property of the SC profile on another class|SC 属性用在了错误的类上
sc.kind|error|text for reference in the SC profile, or the reverse|SC 属性的文本与引用混淆
sc.value|error|a value the SC profile does not allow|SC 属性取值不允许
sc.multiplicity|error|several values of an SC property that has one|SC 单值属性给出多个值
template.syntax|fatal|a template that is no TOML|设备模板不是 TOML
template.key|error|an unknown key in a template|设备模板中有未知的键
template.item|error|a faulty item of a template|设备模板条目有误
template.value|error|a faulty value in a template|设备模板取值有误
device.template|error|a device of a template that is not there|设备引用的模板不存在
device.resource|error|a device without equipment|设备没有关联的电力资源
device.channel|error|a device without channel|设备没有通道
device.protocol|error|a device on a channel of another protocol|设备与通道规约不符
device.parameter|error|a faulty parameter of a device|设备参数有误
device.item|error|a faulty change of an item of a device|设备条目修改有误
channel.protocol|error|a channel of an unknown protocol|通道规约未知
channel.port|error|a channel without valid port|通道没有有效端口
channel.name|error|two channels of one name|通道重名
channel.parameter|error|a faulty parameter of a channel|通道参数有误
measurement.value|warning|a measurement without value: it makes no point|量测没有量测值(不形成测点)
point.measurement|error|a value without measurement|量测值没有量测
point.resource|error|a measurement without power system resource|量测没有关联的电力资源
point.source|error|a point without source, or with several|测点没有来源或来源多于一个
point.channel|error|a point without usable channel|测点没有可用通道
point.address|error|a point with an incomplete address|测点地址不完整
point.duplicate-address|error|two points of one address|测点地址重复
point.duplicate-path|error|two points of one path|测点路径重复
point.kind|error|an unknown kind of discrete point|离散测点类型未知
point.alarm-class|error|an unknown alarm class|告警类别未知
point.cleaning|error|a faulty parameter of data cleaning|数据清洗参数有误
point.suppressed-by|error|suppressed by what cannot suppress|抑制源无效
history.compression|error|an unknown compression of the history|历史压缩方式未知
history.sample|error|a faulty sampling period of the history|历史采样周期有误
limit.kind|error|an alarm limit that is not lolo, lo, hi or hihi|告警限值种类有误
limit.value|error|an alarm limit without value|告警限值没有取值
limit.order|error|alarm limits out of order|告警限值次序颠倒
limit.negative|error|a negative hysteresis, delay, rate or deviation|回差、延时、变化率或偏差为负
limit.delay|error|an alarm delay above one hour|告警延时超过一小时
limit.hysteresis|error|a hysteresis as wide as the band|回差与限值带同宽
limit.deviation|error|a deviation without reference, or the reverse|偏差与参考点只给其一
limit.reference|error|a deviation from no point|偏差参考点不存在
control.channel|error|a control without usable channel|控制没有可用通道
control.address|error|a control with an incomplete address|控制地址不完整
control.duplicate-address|error|two controls of one address|控制地址重复
control.duplicate-path|error|two controls of one path|控制路径重复
control.kind|error|an unknown kind of control|控制类型未知
control.enabled-by|error|an interlock of a control whose point is missing or is no status|控制的闭锁条件测点缺失或不是状态量
control.permitted-when|error|a condition of a control that cannot be used|控制的闭锁逻辑无法使用
control.feedback|warning|a control without feedback|控制没有返校测点
control.device-number|warning|a control without device number, or one number of two devices|控制没有设备编号或编号重复
station.name|warning|two stations of one name|厂站重名
area.frequency|error|a controlled area without frequency source|受控区域没有频率来源
area.bias|error|a controlled area without negative bias|受控区域频率偏差系数不为负
area.tie|error|a tie flow without measurement|联络线没有量测
area.bias-sum|error|a bias of the interconnection weaker than that of the area|互联电网频率偏差系数之和小于本区
group.parent|error|a regulation group under a group of another area|调节组的上级组不在本控制区
group.cycle|error|regulation groups in a circle|调节组循环
group.limits|error|a regulation group without room between its limits|调节组上下限颠倒
group.unit|error|a unit in a regulation group of another area|机组的调节组不在本控制区
group.empty|warning|a regulation group of nobody|调节组没有成员
unit.missing|error|a member of an area that names no unit|区域成员没有机组
unit.incomplete|error|a unit AGC cannot use|AGC 不能使用的机组
unit.limits|error|a unit whose minimum is not below its maximum|机组下限不低于上限
unit.ramp|error|a unit without ramp rate|机组没有爬坡速率
unit.forbidden-zone|error|a forbidden zone upside down|禁止运行区上下限颠倒
unit.pulse|error|a unit moved by pulses that AGC cannot move|脉冲调节机组缺升降命令或脉冲量
unit.economic|error|economic limits outside the operating limits|经济出力限值不在运行限值内
unit.state-of-charge|error|limits of the state of charge that cannot be|荷电状态限值无效
unit.efficiency|error|an efficiency that cannot be|效率无效
unit.positive|error|a figure that has to be above 0|参数应大于 0
unit.cost|error|a heat rate without a price|有热耗曲线而无燃料价格
unit.cost-curve|error|an incremental cost that falls|微增成本曲线下降
curve.unusable|error|a curve that cannot be used|曲线数据点无效
member.twice|error|a member of two plants|一个成员属于两个电站
member.incomplete|error|a member of a plant that cannot be used|电站成员缺量测或出力范围
member.benchmark|warning|a plant of nothing but benchmarks|电站成员全部为样板机
avc.pilot|error|a pilot node without measured voltage or target|中枢点没有电压量测或目标值
avc.source|error|a reactive source without measured Q or set-point|无功源没有无功量测或设定
avc.device|error|a device of AVC without control, feedback or pilot|AVC 设备缺控制、返校或中枢点
avc.weight|error|a pilot node of no weight|中枢点权重无效
avc.plant|error|a source in a reactive plant of another zone|无功源的电站不在本分区
avc.source-voltage|error|voltage limits of a source that cannot be|无功源电压限值颠倒
avc.capability|error|a capability curve upside down|无功能力曲线上下限颠倒
avc.parallel|error|transformers that cannot move in parallel|并列变压器不能同步调节
upstream.port|error|an upstream station without valid port|上级站没有有效端口
upstream.common-address|error|an upstream station with a wrong common address|上级站公共地址有误
upstream.duplicate|error|two upstream stations of one name or address|上级站名称或监听地址重复
upstream.group|error|a faulty redundancy group|冗余组有误
upstream.master|error|a master in two groups, or a group without masters|主站属于两个组或组内没有主站
forward.station|error|a forwarding row of no station|转发行没有上级站
forward.point|error|a forwarding row of no point|转发行的测点不存在
forward.control|error|a forwarding row of no control|转发行的控制不存在
forward.type|error|a type that does not fit what is forwarded|转发类型标识不符
forward.ioa|error|a forwarding row without valid address|转发信息体地址有误
forward.common-address|error|a forwarding row without common address|转发公共地址有误
forward.duplicate-address|error|two forwarding rows of one address|转发地址重复
forward.duplicate-point|error|a point forwarded twice to one station|测点重复转发
forward.scale|error|a scale of 0, or none where one is needed|转发系数为 0 或缺失
forward.range|warning|a range that does not fit the type|量程超出转发类型范围
forward.class|error|a state forwarded as newest value|状态量按最新值转发
forward.quality|warning|a type without quality descriptor|转发类型不带品质
forward.deadband|error|a negative deadband|转发死区为负
forward.group|error|a faulty interrogation group|召唤组号有误
forward.counter-group|error|a faulty group of counters|电能量组号有误
calc.syntax|error|an expression that cannot be read|计算表达式无法解析
calc.unknown_point|error|an expression of a point that is not there|表达式引用的测点不存在
calc.circle|error|a calculated point that depends on itself|计算点循环依赖
waiver.file|error|a waivers.toml that cannot be used|waivers.toml 有误
waiver.reason|error|a waiver without reason|豁免没有理由
waiver.expired|warning|a waiver that is out of date|豁免已过期
waiver.unused|warning|a waiver that matches nothing|豁免没有对应的问题
check.failed|error|a rule that could not be checked|规则检查失败
model.unreadable|fatal|nothing to read|没有可读的模型
"""
"""id | severity (the worst it has) | title in English and Chinese."""

for _line in _RULES.split("\n"):
    if _line:
        _id, _severity, _title, _title_zh = _line.split("|")
        define(_id, Severity(_severity), _title, _title_zh)
