"""A small shop that searches by photo through a Twinset service. Run: python app.py, then open http://127.0.0.1:8080."""

import os
from html import escape
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Request, UploadFile
from fastapi.responses import HTMLResponse

from twinset.client import Client, Hit, Problem

SERVICE = os.environ.get("TWINSET_URL", "http://127.0.0.1:8000")
client = Client(SERVICE, key=os.environ.get("TWINSET_KEY"))
app = FastAPI()

PAGE = """<!doctype html>
<html lang="en"><meta name="viewport" content="width=device-width"><title>My shop</title>
<style>
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui; }}
ul {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 1rem; padding: 0; }}
li {{ list-style: none; }}
img {{ width: 100%; aspect-ratio: 3 / 4; object-fit: contain; }}
</style>
<h1>My shop</h1>
<form method="post" action="/search" enctype="multipart/form-data">
<label>A photo of what you are looking for <input type="file" name="photo" accept="image/*" required></label>
<button>Search</button>
</form>
{body}
</html>"""


@app.get("/", response_class=HTMLResponse)
def start() -> str:
    return PAGE.format(body="")


@app.post("/search", response_class=HTMLResponse)
def search(photo: Annotated[UploadFile, "a form's file"]) -> str:
    found = client.search(photo.file.read(), k=8)
    return PAGE.format(body="".join(section(item.category or "Like it", item.hits) for item in found.items))


@app.exception_handler(Problem)
def refused(request: Request, problem: Problem) -> HTMLResponse:
    return HTMLResponse(PAGE.format(body=f"<p>{escape(problem.detail)}</p>"), problem.status)


def section(title: str, hits: tuple[Hit, ...]) -> str:
    cards = "".join(card(hit) for hit in hits)
    return f"<h2>{escape(title.capitalize())}</h2><ul>{cards}</ul>"


def card(hit: Hit) -> str:
    price = "" if hit.price is None else f"{hit.price:.2f} {hit.currency or ''}"
    return f'<li><img src="{escape(SERVICE + hit.image)}" alt="">{escape(hit.title)}<br>{escape(price)}</li>'


if __name__ == "__main__":
    uvicorn.run(app, port=8080)
