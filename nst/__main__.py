from nst.cli.main import app

app(prog_name="python -m nst")
