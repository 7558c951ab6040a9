"""A live card for `doctor.Monitor`: how near the samples are, and what the monitor has said."""

import html

import ipywidgets as widgets

from gantutor import show
from gantutor.doctor import Monitor
from gantutor.live.panels import Panel

LATEST = 6  # messages


def monitor(watched: Monitor) -> "MonitorCard":
    """A card that follows a monitor: display it, then run the loop that calls `watched.step(…)`.

    It is drawn anew at each look. The monitor goes on saying what it has to say; give it say=None if the
    card is enough.
    """
    return MonitorCard(watched)


class MonitorCard(Panel):
    """What `monitor` returns: a panel with `.status` and `.messages` (HTML)."""

    def __init__(self, watched: Monitor):
        super().__init__()
        self.status, self.messages = widgets.HTML(), widgets.HTML()
        self.children = [self.status, self.picture, self.messages]
        watched.listeners.append(self.update)
        self.update(watched)

    def update(self, watched: Monitor) -> None:
        """Show what the monitor saw at its last look, and the latest messages."""
        ailing = ", ".join(name.replace("_", " ") for name in watched.said)
        state = html.escape(ailing or "nothing wrong so far")
        self.status.value = f"<b>step {watched.steps:,}: {state}</b> ({len(watched.rows)} looks)"
        if len(watched.rows) > 1:
            steps = [row["step"] for row in watched.rows]
            names = [name for name in watched.rows[-1] if name.startswith("distance")]
            lines = {name: [row[name] for row in watched.rows] for name in names}
            picture = show.curves(steps, lines, xlabel="step", ylabel="distance to the real images", log=True)
            self.picture.value = show.png(picture)
        latest = [f"<li>step {event.step:,}: {html.escape(event.text)}</li>" for event in watched.events[-LATEST:]]
        self.messages.value = f"<ul>{''.join(latest)}</ul>" if latest else ""
