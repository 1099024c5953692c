from nst.cli import app

app(prog_name="python -m nst")
