"""Write config/README.md from the models that check the config."""

from servegrid.config.reference import config_reference
from servegrid.util.files import REPOSITORY, write_atomic

if __name__ == "__main__":
    write_atomic(REPOSITORY / "config" / "README.md", config_reference())
