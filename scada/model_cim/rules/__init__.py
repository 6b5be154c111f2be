"""Rules a CIM model is checked by; :func:`scada.model_cim.check.check_model` runs them."""
