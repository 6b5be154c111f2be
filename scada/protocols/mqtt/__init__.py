"""MQTT: plain topics and Sparkplug B. What can be pure is pure; :mod:`~scada.protocols.mqtt.driver` puts a connection to it."""
