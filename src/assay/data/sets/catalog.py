"""What each data set is, before any byte of it is there: shapes, counts, class names, files and their checks.

A folder of the user's own images is not listed: only its bytes say what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from assay.config import PARAMS_FILE
from assay.data.sets.images import Images
from assay.foundation.errors import AssayError

if TYPE_CHECKING:
    from assay.config import Data


@dataclass(frozen=True)
class RawFile:
    """A file of data/raw and the check that it must pass.

    Attributes:
        name: inside data/raw.
        algorithm: of the digest, by hashlib's name.
        digest: in hexadecimal.
    """

    name: str
    algorithm: str
    digest: str


@dataclass(frozen=True)
class DataSet:
    """A published data set.

    Attributes:
        name: in params.yaml.
        images: the shape of an image and the number of classes.
        train: training examples, those for validation included.
        test: test examples.
        class_names: by label.
        layout: how its files are to be read (`assay.data.raw`).
        files: what data/raw holds, in the order in which the layout's reader takes it.
        official: the class of torchvision.datasets that knows its official mirror, if there is one.
    """

    name: str
    images: Images
    train: int
    test: int
    class_names: tuple[str, ...]
    layout: Literal["idx", "cifar10", "cifar100", "stl10"]
    files: tuple[RawFile, ...]
    official: str | None = None


IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
DIGITS = tuple("0123456789")


def _files(algorithm: str, names: tuple[str, ...], digests: str) -> tuple[RawFile, ...]:
    return tuple(RawFile(name, algorithm, digest) for name, digest in zip(names, digests.split(), strict=True))


_CIFAR100_NAMES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""

_ALL = (
    DataSet(
        name="mnist",
        images=Images(1, 28, 28, 10),
        train=60_000,
        test=10_000,
        class_names=DIGITS,
        layout="idx",
        files=_files(
            "md5",
            IDX_NAMES,
            """6bbc9ace898e44ae57da46a324031adb a25bea736e30d166cdddb491f175f624
            2646ac647ad5339dbf082846283269ea 27ae3e4e09519cfbb04c329615203637""",
        ),
        official="MNIST",
    ),
    DataSet(
        name="fashion_mnist",
        images=Images(1, 28, 28, 10),
        train=60_000,
        test=10_000,
        class_names=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        layout="idx",
        files=_files(
            "sha256",
            IDX_NAMES,
            """c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888
            bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9
            5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b
            0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34""",
        ),
        official="FashionMNIST",
    ),
    DataSet(
        name="cifar10",
        images=Images(3, 32, 32, 10),
        train=50_000,
        test=10_000,
        class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        layout="cifar10",
        files=_files(
            "sha1",
            (*(f"data_batch_{batch}.bin" for batch in range(1, 6)), "test_batch.bin"),
            """aadd24acce27caa71bf4b10992e9e7b2d74c2540 c0ba65cce70568cd57b4e03e9ac8d2a5367c1795
            1dd00a74ab1d17a6e7d73e185b69dbf31242f295 aab85764eb3584312d3c7f65fd2fd016e36a258e
            26e2849e66a845b7f1e4614ae70f4889ae604628 67eb016db431130d61cd03c7ad570b013799c88c""",
        ),
        official="CIFAR10",
    ),
    DataSet(
        name="cifar100",
        images=Images(3, 32, 32, 100),
        train=50_000,
        test=10_000,
        class_names=tuple(_CIFAR100_NAMES.split()),
        layout="cifar100",
        files=_files("md5", ("train", "test"), "16019d7e3df5f24257cddd939b257f8d f0ef6b0ae62326f3e7ffdfab6717acfc"),
        official="CIFAR100",
    ),
    DataSet(
        name="stl10",
        images=Images(3, 96, 96, 10),
        train=5_000,
        test=8_000,
        class_names=("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
        layout="stl10",
        files=_files(
            "md5",
            ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"),
            """918c2871b30a85fa023e0c44e0bee87f 5a34089d4802c674881badbb80307741
            7f263ba9f9e0b06b93213547f721ac82 36f9794fa4beb8a2c72628de14fa638e""",
        ),
        official="STL10",
    ),
    DataSet(
        name="digits",
        images=Images(1, 8, 8, 10),
        train=1_437,
        test=360,
        class_names=DIGITS,
        layout="idx",
        files=_files(
            "sha256",
            IDX_NAMES,
            """1192d80fb13b41bd405974e7276f8c82d0b32e4f26b229444c27b9e486971746
            f8a600b73e2c056aa42316260206e6643bd33e96bd71cfb8e32b94f76fac4f93
            80510fc9162448f4c8666335357ea127bd14ff20c9a09e20a09f3b8d96ef1ca3
            cf2c8a23974df0c99eb3f36ff34c02acb9be1c84aca7280211ef04bea1135360""",
        ),
    ),
)
DATA_SETS: dict[str, DataSet] = {data_set.name: data_set for data_set in _ALL}


def images_of(data: Data) -> Images | None:
    """The shape of an image and the number of classes; None for a folder, whose classes nobody knows beforehand."""
    return DATA_SETS[data.name].images if data.name in DATA_SETS else None


def training_examples(data: Data) -> int | None:
    """How many examples the validation set leaves to train on; None for a folder."""
    return DATA_SETS[data.name].train - data.validation if data.name in DATA_SETS else None


def check(data: Data) -> None:
    """Check what can be known of `data` before any byte is there.

    Raises:
        AssayError: the validation set would leave nothing to train on.
    """
    if data.name in DATA_SETS:
        check_validation(data, DATA_SETS[data.name].train)


def check_validation(data: Data, examples: int) -> None:
    """Refuse a validation set that is not smaller than the `examples` of the training set.

    Raises:
        AssayError: it is not; the line names the key.
    """
    if data.validation >= examples:
        raise AssayError(
            f"{PARAMS_FILE}: data.validation: got {data.validation}; it must be less than the {examples} training "
            f"images of {data.name}"
        )
