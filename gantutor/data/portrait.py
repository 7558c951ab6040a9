"""What a cartoon face is made of, and how it is painted: part over part, from the background to the hat.

Every part is a signed distance function: negative inside, positive outside, in units of half a picture. A pixel takes
the colour of a part as far as the part covers it.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

# What each factor may be, with how many of a hundred faces have it.
SHARES: dict[str, dict[str, int]] = {
    "hair": {
        **{"bald": 10, "short": 14, "fringe": 13, "spiky": 12},
        **{"bob": 13, "long": 13, "curly": 13, "pigtails": 12},
    },
    "hair-color": {"black": 18, "brown": 18, "blond": 16, "ginger": 16, "grey": 16, "blue": 16},
    "skin": {"porcelain": 16, "peach": 17, "honey": 17, "tan": 17, "brown": 17, "dark": 16},
    "eyes": {"round": 40, "narrow": 30, "closed": 30},
    "brows": {"flat": 34, "raised": 33, "stern": 33},
    "mouth": {"sad": 20, "straight": 20, "smiling": 35, "laughing": 25},
    "glasses": {"none": 55, "round": 16, "square": 15, "dark": 14},
    "beard": {"none": 61, "moustache": 13, "goatee": 13, "full": 13},
    "hat": {"none": 61, "beanie": 13, "cap": 13, "party": 13},
    "ears": {"plain": 40, "large": 30, "rings": 30},
    "background": {"sky": 17, "mint": 17, "lemon": 17, "rose": 17, "lilac": 16, "sand": 16},
    "shirt": {"red": 20, "navy": 20, "white": 20, "green": 20, "orange": 20},
}
FACTORS = {name: tuple(shares) for name, shares in SHARES.items()}
COVERING_EARS = ("bob", "long", "curly")  # hair

COLORS: dict[str, dict[str, tuple[int, int, int]]] = {
    "skin": {
        **{"porcelain": (255, 226, 204), "peach": (247, 200, 164), "honey": (227, 172, 122)},
        **{"tan": (193, 134, 88), "brown": (148, 96, 62), "dark": (110, 70, 50)},
    },
    "hair-color": {
        **{"black": (44, 38, 46), "brown": (112, 66, 38), "blond": (244, 206, 104)},
        **{"ginger": (222, 104, 42), "grey": (188, 190, 198), "blue": (64, 128, 214)},
    },
    "background": {
        **{"sky": (166, 214, 240), "mint": (168, 226, 196), "lemon": (250, 230, 150)},
        **{"rose": (246, 184, 190), "lilac": (204, 190, 238), "sand": (228, 212, 188)},
    },
    "shirt": {
        **{"red": (220, 72, 72), "navy": (50, 68, 124), "white": (246, 246, 242)},
        **{"green": (70, 158, 98), "orange": (244, 156, 56)},
    },
}
HAT_COLORS = {"beanie": (214, 66, 84), "cap": (58, 92, 178), "party": (250, 196, 60)}
INK = (46, 34, 40)
WHITE = (255, 255, 255)


# --- signed distances ------------------------------------------------------------------------------------------------
# x and y are (n, rows, columns); what they are compared with is a number or (n, 1, 1).

Value = Tensor | float


def disc(x: Tensor, y: Tensor, radius: Value) -> Tensor:
    return (x * x + y * y).sqrt_() - radius


def ellipse(x: Tensor, y: Tensor, a: Value, b: Value) -> Tensor:
    """To first order near the edge: f / |∇f| for f = (x/a)² + (y/b)² − 1."""
    u, v = x / a, y / b
    inside = u * u + v * v - 1
    return inside / (2 * ((u / a) ** 2 + (v / b) ** 2).sqrt() + 1e-6)


def box(x: Tensor, y: Tensor, a: Value, b: Value, corner: float) -> Tensor:
    """A rectangle of half widths a and b with round corners."""
    u, v = x.abs() - (a - corner), y.abs() - (b - corner)
    outside = (u.clamp(min=0) ** 2 + v.clamp(min=0) ** 2).sqrt_()
    return outside + torch.maximum(u, v).clamp(max=0) - corner


def stroke(x: Tensor, y: Tensor, half: Value, bend: Value, width: float) -> Tensor:
    """A curved line from x = −half to half, `width` thick: y = bend · (x/half)², moved so that its middle is at 0."""
    u = x / half
    off = (y - bend * (u * u - 0.4)) / (1 + (2 * bend * u / half) ** 2).sqrt()
    beyond = (x.abs() - half).clamp(min=0)
    return (off * off + beyond * beyond).sqrt_() - width / 2


def zigzag(x: Tensor, period: float) -> Tensor:
    """A triangle wave from 0 to 1."""
    return (x / period - (x / period).floor() - 0.5).abs() * 2


# --- painting --------------------------------------------------------------------------------------------------------


class Painting:
    """A chunk of faces on one canvas, float32 (n, 3, 64, 64) in [0, 1].

    ``x`` and ``y`` (n, 64, 64) are coordinates of the head: from −1 to 1, to the right and down, turned and scaled with
    it. ``bx`` and ``by`` are those of the body, which stays upright.
    """

    size = 64

    def __init__(self, factors: Mapping[str, Tensor], measures: Mapping[str, Tensor], jitter: Tensor):
        self.factors, self.measures = factors, measures
        self.n = len(jitter)
        self.width, self.height, self.eye, self.gap, self.nose, self.lift, self.gaze, self.tone = jitter.clamp(
            -1.8, 1.8
        ).unbind(1)
        axis = (torch.arange(self.size) + 0.5) / self.size * 2 - 1
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        self.bx = x - 2 * self.of(measures["shift right"])
        self.by = y - 2 * self.of(measures["shift down"])
        turn, joint = self.of(measures["tilt"]), 0.6  # about the neck
        u, v, scale = self.bx, self.by - joint, self.of(measures["scale"])
        self.x = (turn.cos() * u + turn.sin() * v) / scale
        self.y = (turn.cos() * v - turn.sin() * u) / scale + joint
        self.canvas = torch.empty(self.n, 3, self.size, self.size)

    @staticmethod
    def of(values: Tensor) -> Tensor:
        return values[:, None, None]

    def color(self, factor: str, shade: float = 1.0) -> Tensor:
        """The colours (n, 3) of a factor, lighter than they are above 1, darker below."""
        table = torch.tensor([COLORS[factor][value] for value in FACTORS[factor]]) / 255
        colors = table[self.factors[factor]]
        return colors * shade if shade <= 1 else 1 - (1 - colors) * (2 - shade)

    def has(self, factor: str, *values: str) -> Tensor:
        """The numbers of the faces whose factor has one of these values."""
        wanted = torch.tensor([FACTORS[factor].index(value) for value in values])
        return torch.isin(self.factors[factor], wanted).nonzero().flatten()

    def paint(
        self,
        distance: Tensor,
        color: Tensor | tuple[int, int, int],
        which: Tensor | None = None,
        rows: slice = slice(None),
        strength: float = 1.0,
        soft: float = 1.0,
    ) -> None:
        """Lay a colour, (m, 3) or one for all, over the faces `which`, where a shape with these distances covers them.

        An edge is `soft` pixels wide.
        """
        if not isinstance(color, Tensor):
            color = torch.tensor(color)[None] / 255
        cover = (0.5 - distance * (self.size / 2 / soft)).clamp_(0, 1)[:, None]
        if strength != 1:
            cover = cover * strength
        color = color[:, :, None, None]
        if which is None:
            self.canvas[:, :, rows].lerp_(color, cover)
        else:
            self.canvas[which, :, rows] = self.canvas[which, :, rows].lerp(color, cover)

    def outlined(self, distance: Tensor, color: Tensor, line: Tensor, which=None, rows=slice(None)) -> None:
        """The same with a line around it."""
        self.paint(distance - 0.028, line, which, rows)
        self.paint(distance, color, which, rows)

    def hairy(self, distance: Tensor, which: Tensor, rows: slice = slice(None)) -> None:
        """Hair of these faces, with a darker line around it."""
        self.outlined(distance, self.color("hair-color")[which], self.color("hair-color", 0.55)[which], which, rows)

    def finished(self) -> Tensor:
        if not self.n:
            return self.canvas
        self.head = self.head_distance()
        self.bare_ears = self.has("hair", *(style for style in FACTORS["hair"] if style not in COVERING_EARS))
        behind = self.ground, self.hair_behind, self.body, self.ears, self.face
        features = self.eyes, self.nose_line, self.beard, self.mouth, self.moustache
        for layer in (*behind, *features, self.hair_in_front, self.brows, self.rings, self.glasses, self.hat):
            layer()
        return self.canvas.clamp_(0, 1)

    # Each layer below lies over those before.

    def ground(self) -> None:
        colors = self.color("background")
        self.canvas[:] = colors[:, :, None, None]
        self.paint(disc(self.bx, self.by + 0.05, 0.88), self.color("background", 1.45))

    def head_distance(self) -> Tensor:
        """An egg: the jaw is narrower than the brow."""
        a = 0.47 + 0.02 * self.of(self.width)
        b = 0.54 + 0.02 * self.of(self.height)
        v = self.y - 0.06
        return ellipse(self.x / (1 - 0.16 * v), v, a, b)

    def body(self) -> None:
        skin, line = self.color("skin", 0.86), self.color("skin", 0.55)
        rows = slice(40, 64)
        x, y = self.bx[:, rows], self.by[:, rows]
        self.outlined(box(x, y - 0.75, 0.17, 0.28, 0.1), skin, line, rows=rows)
        shirt = ellipse(x, y - 1.12, 0.72, 0.38)
        collar = ellipse(x, y - 0.72, 0.24, 0.12)
        shirt = torch.maximum(shirt, -collar)
        self.outlined(shirt, self.color("shirt"), self.color("shirt", 0.55), rows=rows)

    def ears(self) -> None:
        which, rows = self.bare_ears, slice(20, 50)
        large = (self.factors["ears"] == FACTORS["ears"].index("large")).float()
        size = self.of(0.105 + 0.06 * large)[which]
        x, y = self.x[which, rows].abs() - 0.5, self.y[which, rows] - 0.1
        ear = ellipse(x, y, size, 1.25 * size)
        self.outlined(ear, self.color("skin")[which], self.color("skin", 0.5)[which], which, rows)
        self.paint(ear + 0.06, self.color("skin", 0.78)[which], which, rows)

    def face(self) -> None:
        self.outlined(self.head, self.color("skin"), self.color("skin", 0.5))
        rows = slice(32, 52)
        x, y = self.x[:, rows].abs() - 0.29, self.y[:, rows] - 0.27
        blush = self.color("skin") * 0.55 + torch.tensor([0.95, 0.35, 0.35]) * 0.45
        self.paint(ellipse(x, y, 0.1, 0.075), blush, rows=rows, strength=0.6, soft=3)

    def eye_places(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Coordinates about the middles of both eyes, which mirror each other."""
        return self.x[:, rows].abs() - (0.2 + 0.012 * self.of(self.gap)), self.y[:, rows] - 0.03

    def eyes(self) -> None:
        rows = slice(22, 44)
        x, y = self.eye_places(rows)
        sideways = self.x[:, rows].sign() * 0.025 * self.of(self.gaze)  # both look the same way
        for shape, a, b in (("round", 0.115, 0.135), ("narrow", 0.125, 0.075)):
            which = self.has("eyes", shape)
            if len(which):
                u, v, size = x[which], y[which], 1 + 0.03 * self.of(self.eye[which])
                white = ellipse(u, v, a * size, b * size)
                ink = torch.tensor(INK).expand(len(which), 3) / 255
                self.paint(white - 0.025, ink, which, rows)
                self.paint(white, WHITE, which, rows)
                u = u - sideways[which]
                self.paint(torch.maximum(disc(u, v - 0.01, 0.068 * size), white), INK, which, rows)
                self.paint(disc(self.x[which, rows].sign() * u + 0.022, v + 0.025, 0.026), WHITE, which, rows)
        which = self.has("eyes", "closed")
        if len(which):
            self.paint(stroke(x[which], y[which] - 0.02, 0.1, 0.075, 0.05), INK, which, rows)

    def brows(self) -> None:
        rows = slice(16, 36)
        x, y = self.eye_places(rows)
        angle = torch.tensor([0.0, -0.1, 0.5])[self.factors["brows"]]
        lift = torch.tensor([0.0, 0.06, -0.015])[self.factors["brows"]] + 0.004 * self.lift
        bend = torch.tensor([0.0, 0.07, 0.0])[self.factors["brows"]]
        dark, light, skin = self.color("hair-color", 0.55), self.color("hair-color"), self.color("skin")
        darker = (dark - skin).abs().sum(1) > (light - skin).abs().sum(1)
        line = torch.where(darker[:, None], dark, light)  # what can be seen better
        y = y + 0.185 + self.of(lift) + self.of(angle) * x
        self.paint(stroke(x, y, 0.1, self.of(bend), 0.06), line, rows=rows)

    def nose_line(self) -> None:
        rows = slice(30, 48)
        x, y = self.x[:, rows], self.y[:, rows] - 0.2
        size = 0.062 + 0.012 * self.of(self.nose)
        self.paint(ellipse(x, y, size, 0.8 * size), self.color("skin", 0.74), rows=rows)
        self.paint(ellipse(x, y + 0.02, 0.8 * size, 0.6 * size), self.color("skin", 1.12), rows=rows)

    def mouth(self) -> None:
        rows = slice(38, 56)
        x, y, smile = self.x[:, rows], self.y[:, rows] - 0.38, self.of(self.measures["smile"])
        which = self.has("mouth", "sad", "straight", "smiling")
        if len(which):
            curve = stroke(x[which], y[which], 0.15, -0.13 * smile[which], 0.055)
            self.paint(curve, self.color("skin", 0.3)[which] + torch.tensor([0.17, 0.0, 0.03]), which, rows)
        which = self.has("mouth", "laughing")
        if len(which):
            u, v, wide = x[which], y[which], 0.8 + 0.25 * smile[which]
            hole = torch.maximum(ellipse(u, v + 0.06, 0.19 * wide, 0.2), -(v + 0.06))
            self.paint(hole - 0.025, (92, 26, 36), which, rows)
            self.paint(hole, (150, 40, 52), which, rows)
            self.paint(torch.maximum(hole, v + 0.005), WHITE, which, rows)
            self.paint(torch.maximum(hole + 0.012, disc(u, v - 0.16, 0.1)), (240, 128, 128), which, rows)

    def beard(self) -> None:
        rows = slice(36, 64)
        x, y = self.x[:, rows], self.y[:, rows]
        which = self.has("beard", "full")
        if len(which):
            u, v = x[which], y[which]
            mouth = ellipse(u, v - 0.375, 0.23, 0.13)
            cheek = 0.2 + 0.05 * zigzag(u, 0.16) - 0.55 * (u.abs() - 0.36).clamp(min=0)
            shape = torch.maximum(self.head[which, rows] - 0.05, cheek + 0.08 - v)
            self.hairy(torch.maximum(shape, -mouth), which, rows)
        which = self.has("beard", "goatee")
        if len(which):
            u, v = x[which], y[which] - 0.58
            self.hairy(ellipse(u * (1 + 1.8 * v), v, 0.12, 0.14), which, rows)  # narrower below

    def moustache(self) -> None:
        which, rows = self.has("beard", "moustache", "full"), slice(36, 48)
        if len(which):
            x, y = self.x[which, rows].abs() - 0.1, self.y[which, rows] - 0.285
            shape = ellipse(x, y - 0.25 * x, 0.12, 0.05)
            self.hairy(shape, which, rows)

    def hair_behind(self) -> None:
        self.each_style({
            "bob": lambda x, y: box(x, y - 0.1, 0.66, 0.6, 0.34),
            "long": lambda x, y: box(x / (1 + 0.12 * y), y - 0.33, 0.62, 0.98, 0.4),
            "curly": _curls,
            "pigtails": _pigtails,
        })  # fmt: skip
        which = self.has("hair", "spiky")
        which = which[torch.isin(which, self.has("hat", "none", "party"))]
        if len(which):
            self.hairy(_spikes(self.x[which], self.y[which]), which)

    def hair_in_front(self) -> None:
        def cap(grown: float, line: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
            return lambda x, y, head: torch.maximum(head - grown, y - line(x, y))

        def parted(x: Tensor, y: Tensor) -> Tensor:
            return -0.32 + 0.62 * (x.abs() - 0.08).clamp(min=0) + 3.2 * (x.abs() - 0.36).clamp(min=0)

        def swept(x: Tensor, y: Tensor) -> Tensor:
            return -0.34 + 0.22 * (x + 0.25).clamp(min=0) + 2.2 * (x.abs() - 0.4).clamp(min=0)

        def jagged(x: Tensor, y: Tensor) -> Tensor:
            return -0.37 + 0.1 * zigzag(x + 0.09, 0.18) + 2.0 * (x.abs() - 0.42).clamp(min=0)

        self.each_style({
            "short": cap(0.05, swept),
            "fringe": cap(0.07, lambda x, y: -0.26 + 0.06 * x * x + 3.0 * (x.abs() - 0.4).clamp(min=0)),
            "spiky": cap(0.04, jagged),
            "bob": cap(0.08, parted),
            "long": cap(0.07, lambda x, y: parted(x + 0.12, y)),
            "curly": lambda x, y, head: torch.maximum(head - 0.08, y + 0.3 - 0.07 * (x * 17).cos() - 1.2 * x * x),
            "pigtails": cap(0.06, lambda x, y: -0.3 + 0.45 * x.abs() + 1.5 * (x.abs() - 0.42).clamp(min=0)),
        }, with_head=True)  # fmt: skip

    def each_style(self, shapes: Mapping[str, Callable[..., Tensor]], with_head: bool = False) -> None:
        for style, shape in shapes.items():
            which = self.has("hair", style)
            if len(which):
                head = (self.head[which],) if with_head else ()
                self.hairy(shape(self.x[which], self.y[which], *head), which)

    def rings(self) -> None:
        which, rows = self.has("ears", "rings"), slice(30, 52)
        which = which[torch.isin(which, self.bare_ears)]
        if len(which):
            x, y = self.x[which, rows].abs() - 0.55, self.y[which, rows] - 0.27
            self.paint(disc(x, y, 0.07).abs() - 0.022, (252, 206, 60), which, rows)

    def glasses(self) -> None:
        rows = slice(20, 46)
        x, y = self.eye_places(rows)
        bridge = box(self.x[:, rows], y + 0.03, 0.06, 0.018, 0.01)
        temple = box(self.x[:, rows].abs() - 0.44, y + 0.03, 0.08, 0.018, 0.01)
        for kind in FACTORS["glasses"][1:]:
            which = self.has("glasses", kind)
            if len(which):
                u, v = x[which], y[which]
                lens = (
                    disc(u, v, 0.172) if kind == "round" else box(u, v, 0.17, 0.14 if kind == "square" else 0.17, 0.05)
                )
                if kind == "dark":
                    self.paint(lens, (30, 30, 40), which, rows)
                    self.paint(box(u + v + 0.05, v + 0.02, 0.025, 0.07, 0.01), (120, 124, 140), which, rows)
                else:
                    self.paint(lens, WHITE, which, rows, strength=0.22)
                frame = torch.minimum(lens.abs() - 0.024, torch.minimum(bridge[which], temple[which]))
                self.paint(frame, INK if kind != "round" else (150, 44, 60), which, rows)

    def hat(self) -> None:
        rows = slice(0, 36)
        for kind, shape in (("beanie", _beanie), ("cap", _cap), ("party", _party)):
            which = self.has("hat", kind)
            if len(which):
                color = torch.tensor(HAT_COLORS[kind]).expand(len(which), 3) / 255
                for distance, shade in shape(self.x[which, rows], self.y[which, rows]):
                    fill = color * shade if shade <= 1 else 1 - (1 - color) * (2 - shade)
                    self.outlined(distance, fill, color * 0.5, which, rows)


def _curls(x: Tensor, y: Tensor) -> Tensor:
    v = y + 0.12
    waves = 0.045 * (torch.atan2(v, x) * 11).cos()
    return ellipse(x, v, 0.76, 0.72) - waves


def _pigtails(x: Tensor, y: Tensor) -> Tensor:
    return ellipse(x.abs() - 0.7 + 0.25 * (y - 0.2), y - 0.28, 0.16, 0.32)


def _spikes(x: Tensor, y: Tensor) -> Tensor:
    angle = torch.atan2(x, -(y - 0.06))
    radius = 0.5 + 0.26 * zigzag(angle, 0.36)
    return torch.maximum((disc(x, y - 0.06, 0) - radius) * 0.5, angle.abs() * 0.5 - 0.62)


def _beanie(x: Tensor, y: Tensor) -> list[tuple[Tensor, float]]:
    dome = torch.maximum(ellipse(x, y + 0.24, 0.54, 0.5), y + 0.3)
    return [(disc(x, y + 0.79, 0.11), 1.5), (dome, 1.0), (box(x, y + 0.33, 0.56, 0.085, 0.06), 1.35)]


def _cap(x: Tensor, y: Tensor) -> list[tuple[Tensor, float]]:
    dome = torch.maximum(ellipse(x, y + 0.27, 0.53, 0.42), y + 0.3)
    return [(dome, 1.0), (ellipse(x - 0.3, y + 0.31, 0.52, 0.07), 0.8)]


def _party(x: Tensor, y: Tensor) -> list[tuple[Tensor, float]]:
    cone = torch.maximum(x.abs() - 0.36 * (y + 0.96), y + 0.36 - 0.15 * x * x)
    stripe = torch.maximum(cone + 0.03, (y + 0.55 + 0.3 * x).abs() - 0.05)
    return [(cone, 1.0), (stripe, 0.75), (disc(x, y + 0.92, 0.075), 1.7)]
