"""servegrid finds out by experiment which inference engine, with which settings, on which device, serves best."""
