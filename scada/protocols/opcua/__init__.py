"""OPC UA client: status codes and values to our quality words, and driver."""
