"""Models such as programs ask for with pydantic, by what is typical of each."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    StringConstraints,
    conint,
)

Short = Annotated[str, StringConstraints(max_length=12)]


class Colour(StrEnum):
    RED = "red"
    GREEN = "grün"


class Level(IntEnum):
    LOW = 1
    HIGH = 9


class Plain(BaseModel):
    name: Short
    age: int
    height: float
    married: bool


class Optional(BaseModel):
    name: Short | None
    nick: Short | None = None
    age: int | None = Field(None, ge=0, le=120)


class Inner(BaseModel):
    street: Short
    city: Literal["Berlin", "Paris"] = "Berlin"


class Nested(BaseModel):
    home: Inner
    others: list[Inner] = Field(max_length=2)


class Enums(BaseModel):
    colour: Colour
    level: Level
    several: list[Colour] = Field(max_length=3)


class EnumSet(BaseModel):
    colours: set[Colour]


class Flags(BaseModel):
    seen: frozenset[Literal["a", "b", "c"]] = Field(min_length=1)


class Moments(BaseModel):
    day: date
    at: time
    when: datetime


class Period(BaseModel):
    takes: timedelta


class Money(BaseModel):
    price: Decimal = Field(max_digits=6, decimal_places=2)


class PlainDecimal(BaseModel):
    price: Decimal


class Cents(BaseModel):
    price: float = Field(ge=0, le=100, multiple_of=0.01)


class Ids(BaseModel):
    id: UUID
    address: IPv4Address


class Web(BaseModel):
    page: AnyUrl
    file: Path
    password: Annotated[SecretStr, Field(max_length=8)]


class Code(BaseModel):
    code: str = Field(pattern=r"^[A-Z]{3}-\d{2,4}$")
    zip: Annotated[str, StringConstraints(pattern=r"^\d{5}$")]


class Bounds(BaseModel):
    share: float = Field(ge=0, le=1)
    count: conint(gt=0, lt=10)  # type: ignore[valid-type]
    even: int = Field(multiple_of=2, ge=-10, le=10)


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(ge=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: Short


class Pet(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")


class AnyPet(BaseModel):
    pets: list[Cat | Dog] = Field(min_length=1, max_length=2)


class Either(BaseModel):
    value: int | Short | bool | None


class Pair(BaseModel):
    place: tuple[float, float]
    named: tuple[Short, int]


class Counts(BaseModel):
    counts: dict[Colour, int]


class Labels(BaseModel):
    labels: dict[Annotated[str, StringConstraints(pattern="^[a-z]{1,8}$")], bool]


class Free(BaseModel):
    extra: dict[Literal["a", "b"], Short | int]


class Node(BaseModel):
    value: int
    next: Node | None


class Tree(BaseModel):
    name: Literal["leaf"]
    children: list[Tree] = Field(max_length=1)


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    first_name: Short = Field(alias="firstName", description='The "first" name\nof two.')


class Names(RootModel[list[Short]]):
    pass


class Step(BaseModel):
    explanation: Short
    output: Short


class Reasoning(BaseModel):
    steps: list[Step] = Field(max_length=2)
    final_answer: Short


MODELS: list[type[BaseModel]] = [
    *(Plain, Optional, Nested, Enums, EnumSet, Flags, Moments, Period, Money, PlainDecimal, Cents),
    *(Ids, Web, Code, Bounds, Pet, AnyPet, Either, Pair, Counts, Labels, Free, Node, Tree, Closed),
    *(Names, Reasoning),
]
