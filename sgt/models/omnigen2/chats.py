"""Training examples and prompts as chats of the language model."""

from collections.abc import Callable, Sequence

from PIL import Image
from tokenizers import Tokenizer

from sgt.models.base import Example, Exchange, MadeImage, SeenImage, Words
from sgt.models.omnigen2.prompts import (
    ANSWER,
    ASSISTANT,
    END,
    IMAGE,
    USER,
    instruction,
    special_tokens,
    system,
)
from sgt.models.omnigen2.rows import Chat, SeenPatches


class ChatBuilder:
    """Makes chats.

    Args:
        tokenizer: of the checkpoint, with the special tokens in it.
        limit: positions the language model has.
        see: prepares an image for the vision tower.
    """

    def __init__(self, tokenizer: Tokenizer, limit: int, see: Callable[[Image.Image], SeenPatches]) -> None:
        self.tokenizer, self.limit, self.see = tokenizer, limit, see
        self.special = special_tokens(tokenizer)

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, markers included."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def instruction(self, prompt: str | None, images: Sequence[Image.Image] = ()) -> Chat:
        """The chat whose states an image is made from; see :func:`sgt.models.omnigen2.prompts.instruction`."""
        chat = Chat(self.special, self.limit)
        chat.add(self.ids(instruction(prompt, len(images))), [self.see(image) for image in images])
        return chat

    def shown(self, image: Image.Image, told: str | None = None) -> Chat:
        """A chat in which the user has shown an image and not asked yet; ``told`` takes the system message's place."""
        chat = Chat(self.special, self.limit)
        chat.add(self.ids(system(told or ANSWER) + USER + IMAGE), [self.see(image)])
        return chat

    def question(self, text: str) -> list[int]:
        """A question that ends the user's turn and begins the answer's; its last token is read before the answer."""
        return self.ids(text + END + "\n" + ASSISTANT)

    def reply(self, text: str) -> list[int]:
        """An answer with the end of its turn."""
        return [*self.ids(text), self.special.end]

    def instruction_of(self, example: Example) -> Chat:
        """The chat of an example whose image is to be made: what is shown and said before it, in the user's turn."""
        said = [part.text for part in example if isinstance(part, Words)]
        images = [part.image for part in example if isinstance(part, SeenImage)]
        return self.instruction("\n".join(said) if said else None, images)

    def texts_of(self, example: Example) -> list[str]:
        """The texts that an example's chat is made of, each image marked; for counting alone."""
        images = [IMAGE for part in example if isinstance(part, SeenImage)]
        if makes_image(example):
            said = [part.text for part in example if isinstance(part, Words)]
            return [instruction("\n".join(said) if said else None, len(images))]
        texts, asking = [system(ANSWER)], False
        for part in example:
            texts += [] if asking else [USER]
            asking = True
            match part:
                case SeenImage():
                    texts.append(IMAGE)
                case Words(text, learned):
                    texts += [f"{END}\n{ASSISTANT}", text, END] if learned else [text]
                    asking = not learned
                    texts += ["\n"] if learned and part is not example[-1] else []
                case Exchange(question, answer):
                    texts += [question, f"{END}\n{ASSISTANT}", answer, END]
        return texts

    def answers_of(self, example: Example) -> Chat:
        """The chat of an example with answers to learn: turns in order, and exchanges that share what is before them.

        The end of an answer's turn is learned too.
        """
        chat = Chat(self.special, self.limit)
        pending, images, asking = system(ANSWER), [], False
        for part in example:
            if not asking:
                pending, asking = pending + USER, True
            match part:
                case SeenImage(image):
                    pending += IMAGE
                    images.append(self.see(image))
                case Words(text, False):
                    pending += text
                case Words(text, True):
                    chat.add(self.ids(f"{pending}{END}\n{ASSISTANT}"), images)
                    chat.add(self.reply(text), learned=True)
                    pending, images, asking = "\n", [], False
                case Exchange(question, answer):
                    if pending:
                        chat.add(self.ids(pending), images)
                    pending, images = "", []
                    chat.add_aside(self.question(question), self.reply(answer))
        if images or (asking and pending):
            chat.add(self.ids(pending), images)
        return chat


def makes_image(example: Example) -> bool:
    """Whether an example is one of making an image."""
    return any(isinstance(part, MadeImage) for part in example)
