import idna
from functions.words import WORD


def handler(event, context):
    host = idna.encode("bücher.example").decode()
    return {"body": WORD, "n": event.get("n"), "host": host}
