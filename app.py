"""The entry point of Hugging Face Spaces; the same as `python -m nst app`."""

import sys

from nst.pages.launch import main

if __name__ == "__main__":
    sys.exit(main())
