"""``python -m scada``."""

from scada.cli.main import main

if __name__ == "__main__":
    main()
