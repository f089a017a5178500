from rayboot.data.images import decode_photo
from rayboot.train.loss_curves import draw_curves
from rayboot.train.train_state import EpochRecord


def test_curves_are_an_image() -> None:
    epochs = [EpochRecord(i, 1e-3, 0.5 - 0.1 * i, 0.6 - 0.1 * i, 0.2 * i, 0.0) for i in range(3)]
    image = decode_photo(draw_curves(epochs))
    assert image.shape[1] > 2 * image.shape[0] > 400
    assert image.std() > 5
