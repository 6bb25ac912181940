"""What people and programs may do with sessions: create, stop, resume, correct, branch, copy, delete.

Every method checks, changes values under the lock, and leaves the painting to the worker. Nothing that was
made is overwritten: a correction is a new node beside the old one. It refuses to know HTTP.
"""

import time
from typing import Any

from PIL import Image

from strokewise.errors import StrokewiseError
from strokewise.inference.options import PaintingOptions, Request
from strokewise.inference.painter import Painter
from strokewise.inference.reading import fit_canvas
from strokewise.serve import problems
from strokewise.serve.limits import MAX_NODES, Caller, Limits
from strokewise.serve.live import SOURCE, Live, Registry
from strokewise.serve.problems import RequestError
from strokewise.serve.requests import Edit, NewSession, Resume
from strokewise.serve.stream import Listener
from strokewise.serve.values import EditedPart, Node, State, Until
from strokewise.serve.worker import Worker
from strokewise.trajectory.files import MAX_STEPS, encode_png
from strokewise.trajectory.values import Message, Step, StopReason


class Manager:
    """All sessions of a server, as its callers may use them."""

    def __init__(self, painter: Painter, registry: Registry, worker: Worker, limits: Limits) -> None:
        """Tie them together."""
        self.painter, self.registry, self.worker, self.limits = painter, registry, worker, limits
        self.lock = registry.lock

    # --- beginning and ending ----------------------------------------------------------------------------

    def create(
        self,
        caller: Caller,
        new: NewSession,
        source: Image.Image | None = None,
        listener: Listener | None = None,
    ) -> Live:
        """Return a new session, which waits to be painted.

        Args:
            caller: whose it is.
            new: what is requested.
            source: the image to edit.
            listener: one who misses none of its events.

        Raises:
            RequestError: if it is not possible, there is no place, or the server is stopping.
        """
        options = self.options(new.options.changes())
        request = self._prepared(new, source)
        size = self.worker.engine.size(options, source)
        self.painter.generator.canvas.check(*size)
        with self.lock:
            self.check_room(caller, 1)
            state = State(
                id=self.registry.new_id(),
                name=new.name,
                prompt=request.prompt,
                original_prompt=request.original_prompt,
                seed=new.seed,
                model=self.painter.name,
                size=size,
                options=options,
                status="queued",
                until=new.until,
            )
            live = Live(caller.owner, caller.client, state, instruct=list(request.instruct), seed=new.seed)
            live.kept = new.kept
            if listener is not None:
                live.stream.join(listener)
            if source is not None:
                self.registry.store.put_picture(live.id, SOURCE, encode_png(fit_canvas(source, size)))
                state.source = f"/v1/sessions/{live.id}/{SOURCE}"
            self.worker.enqueue(live)
            self.register(live)
        return live

    def register(self, live: Live, *nodes: Node) -> None:
        """Make a session known and store it."""
        self.registry.changed(live, *nodes)
        self.registry.lives[live.id] = live

    def check_room(self, caller: Caller, queued: int) -> None:
        """Refuse a session more than there is room for; what nobody keeps makes room for it."""
        if self.worker.stopping:
            raise problems.stopping()
        if queued:
            self.worker.waiting.check(caller.client, self.worker.wait(), queued)
        mine = list(self.registry.of(caller.owner))
        spare = [live for live in mine if not live.kept and not live.state.star and at_rest(live)]
        over = len(mine) + max(queued, 1) - self.limits.sessions
        if over > len(spare):
            message = f"{len(mine)} sessions are kept for you, as many as allowed; delete some"
            raise RequestError(409, "too_many_sessions", message)
        for live in spare[::-1][: max(over, 0)]:
            self.registry.delete(live)

    def delete(self, caller: Caller, session: str) -> None:
        """Forget a session with all its pictures."""
        with self.lock:
            live = self.registry.get(caller.owner, session)
            self.worker.withdraw(live)
            self.registry.delete(live)

    # --- stopping and continuing ---------------------------------------------------------------------------

    def pause(self, caller: Caller, session: str) -> Live:
        """Stop after the stage under way."""
        with self.lock:
            live = self.registry.get(caller.owner, session)
            if live.state.status == "queued":
                self.worker.withdraw(live)
                live.state.status = "paused"
            elif live.state.status == "running":
                live.state.pausing = True
            else:
                raise problems.conflict(f"the session is {live.state.status}; only what is painted can pause")
            self.registry.changed(live)
        return live

    def cancel(self, caller: Caller, session: str) -> Live:
        """End a session; the memory it holds is free at the next stage."""
        with self.lock:
            live = self.registry.get(caller.owner, session)
            if live.state.status == "finished":
                raise problems.conflict("the session is finished already")
            self.worker.withdraw(live)
            live.state.status, live.state.stop = "finished", StopReason.CANCELLED
            self.registry.changed(live)
        return live

    def resume(self, caller: Caller, session: str, wanted: Resume) -> Live:
        """Resume at the head, or branch at another node; see docs/serving.md."""
        instruction = [wanted.instruction] if wanted.instruction is not None else []
        branches = bool({"node", "seed"} & wanted.model_fields_set) or bool(instruction)
        with self.lock:
            live = self.registry.get(caller.owner, session)
            if instruction:
                instruction = list(self._instructions(live, instruction))
            if live.state.status in ("queued", "running") and not branches:
                live.state.until, live.state.pausing = wanted.until, False
                self.registry.changed(live)
                return live
            node = wanted.node if "node" in wanted.model_fields_set else live.state.head
            self._check_open(live, node)
            if node != live.state.head:
                live.instruct = []
            if wanted.seed is not None:
                live.seed = wanted.seed
            elif node != live.state.head or live.children(node):
                live.seed += len(live.children(node))
            live.instruct = instruction + live.instruct
            self._go(caller, live, node, wanted.until, again=branches)
        return live

    def _go(self, caller: Caller, live: Live, node: int | None, until: Until, again: bool = True) -> None:
        """Let a session wait to be painted from a node on; ``again``: not as it was set aside."""
        if len(live.nodes) >= MAX_NODES:
            raise problems.conflict(f"the session has {MAX_NODES} nodes; copy one of them into a new session")
        if self.worker.stopping:
            raise problems.stopping()
        if live.state.status not in ("queued", "running"):
            self.worker.waiting.check(caller.client, self.worker.wait())
        if again or live.state.status in ("queued", "running"):
            self.worker.withdraw(live)
        live.client = caller.client
        live.state.head, live.state.until = node, until
        self.worker.enqueue(live)
        self.registry.changed(live)

    @staticmethod
    def _check_open(live: Live, number: int | None) -> None:
        """Refuse to resume where nothing can follow."""
        path = live.path(number)
        if len(path) >= MAX_STEPS - 1:
            raise problems.conflict(f"a painting has at most {MAX_STEPS} steps; branch at an earlier one")
        if path and path[-1].state == "finished" and path[-1].canvas is None:
            raise problems.conflict(
                f"the painting ended with the words of node {number}; edit them, or resume at an earlier node"
            )

    # --- correcting --------------------------------------------------------------------------------------

    def edit(self, caller: Caller, session: str, number: int, edit: Edit, canvas: Image.Image | None) -> Live:
        """Return a new node beside one, with some of its parts replaced, and painting continues from
        there.
        """
        with self.lock:
            live = self.registry.get(caller.owner, session)
            old = live.node(number)
            message, edited = self._edited(old, edit)
            if edit.verdict is not None:
                edited.append("verdict")
            if canvas is not None:
                edited.append("canvas")
            if not edited:
                raise RequestError(
                    422, "invalid", "nothing is changed; give other words, a verdict or a canvas"
                )
            if canvas is not None and self.painter.protocol_format.tagged and not message.paints:
                text = (
                    "this message announces no canvas; give it an instruction (ins) or a correction (refine)"
                )
                raise RequestError(422, "invalid", text, "canvas")
            if len(live.nodes) >= MAX_NODES or self.worker.stopping:
                self._go(caller, live, old.parent, edit.until)  # says what is wrong
            if edit.run and live.state.status not in ("queued", "running"):
                self.worker.waiting.check(caller.client, self.worker.wait())
            new = self._beside(live, old, message, edited, edit, canvas)
            if edit.run and not (new.state == "finished" and new.canvas is None):
                self.registry.changed(live, new)
                self._go(caller, live, new.id, edit.until)
            else:
                over = new.state == "finished" and new.canvas is None
                live.state.status = "finished" if over else "paused"
                live.state.stop = new.stop
                self.registry.changed(live, new)
        if new.canvas is not None:
            self.worker.painted(live, new)
        return live

    def _edited(self, old: Node, edit: Edit) -> tuple[Message, list[EditedPart]]:
        """Return the message of an edited node, and which of its parts differ."""
        if edit.message is None:
            return old.message, []
        given = {name: getattr(edit.message, name) for name in edit.message.model_fields_set}
        parts = vars(old.message) | given | ({"inspect": ""} if given.get("inspect", "") is None else {})
        parts = {name: part.strip() if part is not None else None for name, part in parts.items()}
        message = Message(**parts)
        try:
            message.text()
        except StrokewiseError as error:
            raise problems.of(error, "message") from error
        return message, [name for name in parts if parts[name] != getattr(old.message, name)]  # type: ignore[misc]

    def _beside(
        self,
        live: Live,
        old: Node,
        message: Message,
        edited: list[EditedPart],
        edit: Edit,
        canvas: Image.Image | None,
    ) -> Node:
        """Return the new node; with the given canvas, or the old one where the words are the same."""
        self.worker.withdraw(live)
        live.instruct = []
        same = message == old.message
        verdict = self.painter.protocol_format.read_verdict(message) if old.step and not same else old.verdict
        new = live.add(
            parent=old.parent,
            step=old.step,
            state="finished",
            author="person",
            edited_from=old.id,
            edited=edited,
            message=message,
            text=message.text(),
            verdict=edit.verdict.value() if edit.verdict is not None else verdict,
        )
        png = None
        if canvas is not None:
            png = encode_png(fit_canvas(canvas, live.state.size))
        elif same and old.canvas is not None:
            picture = self.registry.canvas(live, old)
            assert picture is not None, "it has a canvas"
            png = encode_png(picture)
            new.seed = old.seed
        if png is not None:
            self.registry.put_canvas(live, new, png)
            self.registry.put_trajectory(live)
        elif message.paints or not self.painter.protocol_format.tagged:
            new.state = "written"
        else:
            new.stop = StopReason.END
        new.stages = list(Step(message, Image.new("RGB", (1, 1)) if png else None).stages)
        return new

    # --- naming and copying ------------------------------------------------------------------------------

    def rename(self, caller: Caller, session: str, name: str | None, star: bool | None) -> Live:
        """Name or star a session."""
        with self.lock:
            live = self.registry.get(caller.owner, session)
            live.state.name = live.state.name if name is None else name
            live.state.star = live.state.star if star is None else star
            self.registry.changed(live)
        return live

    def rename_node(
        self, caller: Caller, session: str, number: int, name: str | None, star: bool | None
    ) -> Node:
        """Name or star a node."""
        with self.lock:
            live = self.registry.get(caller.owner, session)
            node = live.node(number)
            node.name = node.name if name is None else name
            node.star = node.star if star is None else star
            self.registry.changed(live, node)
        return node

    def copy(self, caller: Caller, session: str, number: int | None) -> Live:
        """Return prompt, source, options and the path to a node as a new session, paused there."""
        with self.lock:
            live = self.registry.get(caller.owner, session)
            path = live.path(live.state.head if number is None else number)
            self.check_room(caller, 0)
            key = self.registry.new_id()
            state = live.state.model_copy(
                update={"id": key, "status": "paused", "stop": None, "error": None, "head": None}
            )
            state.under_way, state.position, state.pausing, state.star = None, None, False, False
            state.created = time.time()
            new = Live(caller.owner, caller.client, state, seed=live.seed)
            if state.source is not None:
                self.registry.store.put_picture(key, SOURCE, self.registry.store.png(live.id, SOURCE))
                state.source = f"/v1/sessions/{key}/{SOURCE}"
            for step, node in enumerate(path):
                values = dict(node) | {
                    "parent": step - 1 if step else None,
                    "edited_from": None,
                    "canvas": None,
                }
                values.pop("id")
                added = new.add(**values)
                if node.canvas is not None:
                    picture = self.registry.canvas(live, node)
                    assert picture is not None, "it has a canvas"
                    self.registry.put_canvas(new, added, encode_png(picture))
            self.registry.put_trajectory(new)
            self.register(new, *new.nodes.values())
        return new

    # --- checking ----------------------------------------------------------------------------------------

    def options(self, changes: dict[str, Any]) -> PaintingOptions:
        """Return the model's options with some changes, within the limits."""
        for name in ("steps", "max_rounds", "max_images", "max_tokens", "previews"):
            most = getattr(self.limits, name)
            if changes.get(name, 0) > most:
                raise RequestError(
                    422, "invalid", f"{name} is {changes[name]}; at most {most}", f"options.{name}"
                )
        if "previews" not in changes:
            changes = changes | {"previews": self.default_previews}
        return self.painter.defaults.changed(changes)

    @property
    def default_previews(self) -> int:
        """Previews of a canvas that a person sees grow."""
        return self.painter.defaults.previews or 6

    def _prepared(self, new: NewSession, source: Image.Image | None) -> Request:
        for text, param in [(new.prompt, "prompt"), *((text, "instruct") for text in new.instruct)]:
            self.check_prompt(text, param)
        vocabulary = self.painter.vocabulary
        prompt, instruct = new.prompt, tuple(new.instruct)
        if vocabulary is not None and not new.any_prompt:
            prompt, instruct = vocabulary.prepare(new.prompt, new.instruct, source is not None)
            if source is not None:
                instruct = instruct or (prompt,)  # as ``Painter.open``: the prompt is the first stroke
        original = "" if prompt == new.prompt else new.prompt
        return Request(prompt, new.seed, source, instruct, original_prompt=original)

    def _instructions(self, live: Live, instruct: list[str]) -> tuple[str, ...]:
        """Return strokes in the wording that the model was trained on."""
        self.check_prompt(instruct[0], "instruction")
        vocabulary = self.painter.vocabulary
        if vocabulary is None:
            return tuple(Request(live.state.prompt, instruct=instruct).instruct)
        return vocabulary.prepare(live.state.prompt, instruct, True).instruct

    def check_prompt(self, text: str, param: str = "prompt") -> None:
        """Refuse a text that is too long."""
        if len(text) > self.limits.prompt:
            message = f"the {param} has {len(text)} characters; at most {self.limits.prompt}"
            raise RequestError(422, "invalid", message, param)


def at_rest(live: Live) -> bool:
    """Return whether a session is neither painted nor waits for it."""
    return live.state.status in ("paused", "finished")
