from rayboot.pipeline.stage import StageUse
from rayboot.pipeline.summary import GenerateSummary, format_summary

SUMMARY = GenerateSummary("s3://b/pairs", 90, 400, 2, {("select", "not-frontal"): 10})


def test_a_summary_says_what_is_there_and_where() -> None:
    use = {"read": StageUse(100, 1.0, 0.5, 9), "turn": StageUse(100, 20.0, 12.0, 9)}
    text = format_summary(SUMMARY._replace(stages=use, seconds=4000.0))
    assert text.splitlines() == [
        "90 faces, 400 views (2 more would leave the volume)",
        "10 rejected: select, not-frontal",
        "100 photos in 1 h 6 min, 0.0 a second",
        "  read: 5 ms of CPU a photo",
        "  turn: 120 ms of CPU a photo",
        "pairs    s3://b/pairs/outcome=face",
        "rejects  s3://b/pairs/outcome=reject",
        "manifest s3://b/pairs/manifest.json",
    ]


def test_a_data_set_that_was_finished_already_took_nothing() -> None:
    text = format_summary(SUMMARY._replace(rejects={}, num_left_out=0))
    assert text.splitlines()[0] == "90 faces, 400 views"
    assert "a second" not in text
    assert "rejects" not in text
