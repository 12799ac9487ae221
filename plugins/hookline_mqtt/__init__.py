"""MQTT brokers, such as Mosquitto."""
