"""Where else the events of the feed go: web servers, MQTT brokers, the province."""
