#!/usr/bin/env bash
# All that wants a GPU, in about eight minutes on one of a data centre, the most telling parts first:
#
#     tests/bench/gpu.sh results           # a file for each part, as it goes; results/summary.txt says how each ended
#     COLOUR=1 tests/bench/gpu.sh results  # six minutes more: faces in colour, with ten times the width
#     TRY=1 tests/bench/gpu.sh results     # every line on the CPU, at tiny sizes
#
# It fills the places of tests/bench/README.md that say "not measured", and adds the races to results/records.md. The
# package and pytest must be installed, and MNIST be at hand (GANTUTOR_DATA).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${1:?name a folder for the results}
mkdir -p "$out"
out=$(cd "$out" && pwd)
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1  # what a part has printed before it is cut off is kept

if [ -n "${TRY:-}" ]; then
  device=cpu; s() { echo "$2"; }
else
  device=cuda; s() { echo "$1"; }
fi

part() {  # NAME LIMIT COMMAND…: run it for LIMIT seconds at most
  local name=$1 limit=$2 began=$SECONDS status=0
  shift 2
  timeout "$limit" "$@" > "$out/$name.txt" 2>&1 || status=$?
  printf '%-20s status %3d  %4d of %d s\n' "$name" "$status" $((SECONDS - began)) "$limit" | tee -a "$out/summary.txt"
}

race() {  # NAME LIMIT: one race, on one seed; status 1 says that its goals were not reached
  part "race-$1" "$2" "$python" -m gantutor speedrun "$1" --seeds 1 --device "$device" --record "$out/records.md"
}

# The limits add up to eight minutes.
: > "$out/summary.txt"
part machine 20 "$python" -c "
import platform, torch
print(platform.platform(), torch.__version__, torch.version.cuda)
if torch.cuda.is_available(): print(torch.cuda.get_device_name(), torch.cuda.get_device_properties(0))"
if [ -n "${COLOUR:-}${TRY:-}" ]; then
  part colour "$(s 400 300)" "$python" tests/bench/bench_colour.py --device "$device" --seed 0 --out "$out/colour.png" \
    $(s "--g-width 160 --d-width 160 --seconds 300 --precision bf16" "--g-width 8 --d-width 4 --size 32 --steps 6")
  [ -n "${TRY:-}" ] || exit 0
fi
part tests "$(s 90 300)" "$python" -m pytest -n0 -q -m "" -p no:cacheprovider tests/test_accelerate.py -k cuda
part steps "$(s 70 300)" "$python" tests/bench/bench_steps.py $(s "" mlp) --device "$device" --seconds "$(s 0.5 0.05)"
part ensemble "$(s 20 120)" "$python" tests/bench/bench_ensemble.py --device "$device" --seconds "$(s 2 0.1)"
if [ -z "${TRY:-}" ]; then
  race fine 50
  race stacked 60
else
  race unconditional 400
fi
part guard "$(s 20 120)" "$python" tests/bench/bench_nan_guard.py mlp dcgan --device "$device" --rounds "$(s 3 1)" \
  --seconds "$(s 0.5 0.05)"
part score "$(s 40 120)" "$python" tests/bench/bench_train.py --model dcgan --device "$device" --seconds "$(s 15 1)" \
  --compare "$(s 3 0.5)"
part modes "$(s 35 120)" "$python" tests/bench/bench_modes.py --device "$device" --members "$(s 10 2)" \
  --mixtures grid --packs 1 4 --seconds "$(s 7 0.5)"
part stacked "$(s 35 120)" "$python" tests/bench/bench_stacked.py --device "$device" --seconds "$(s 7 0.5)"
part costs "$(s 40 600)" "$python" tests/bench/bench_all.py mlp --device "$device" --seconds "$(s 0.3 0.05)"
cat "$out/summary.txt"
! grep -q "status   [1-9]\|status  [1-9]\|status [1-9]" "$out/summary.txt"
