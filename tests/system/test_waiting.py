from keras_dae.system.waiting import Waiting


def test_lines_come_after_3_9_and_21_seconds(capsys):
    now = [0.0]
    waiting = Waiting(clock=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        waiting(f"{second} s")
    assert capsys.readouterr().err.split("\n") == ["3 s", "9 s", "21 s", ""]
