"""``python -m scada.sim``: an outstation process, started by the simulator."""

from scada.sim.outstation import main

if __name__ == "__main__":
    main()
