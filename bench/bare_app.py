"""A FastAPI app that does nothing, served as ours is: the floor of bench/api.py."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def constant() -> dict[str, str]:
    return {"status": "ok"}
