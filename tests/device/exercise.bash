# shellcheck shell=bash
# Random operations on devices over each kind of backing, in each data mode, with one queue or four,
# in batches or not; tests/exercise_device.c does them and knows what the data should be. A
# combination that cannot be must be refused with its reason. Loaded after lib.bash.

exerciser=$top/build/tests/exercise_device

# Those that keep data: `disk` is a block device of the host, by O_DIRECT, `cached` the same by the
# page cache.
backings=(mem tmpfs disk cached stripe mirror cow nested)
modes=(copy get_data user_copy zero_copy auto_buf)

# exercise_setup: what lies below the backings, see fields_of. Ends with end_lower.
exercise_setup() {
  [[ -x $exerciser ]] || {
    echo "no $exerciser: make build/tests/exercise_device" >&2
    return 1
  }
  dir=$BATS_TEST_TMPDIR
  head -c 8M /dev/urandom >"$dir/base.img"
  start_lower ramdisk.lua size=8M
}

# fields_of BACKING: the fields of a device of 8 MiB over it.
fields_of() {
  local disk="ublk.file('$below', { direct = true })" file="ublk.file '$dir"
  case $1 in
  mem) echo 'size = "8M"' ;;
  tmpfs | file) echo "backing = $file/whole.img'" ;;
  direct) echo "backing = ublk.file('$dir/whole.img', { direct = true })" ;;
  disk) echo "backing = $disk" ;;
  cached) echo "backing = ublk.file '$below'" ;;
  stripe) echo "size = '8M', backing = ublk.stripe{ ublk.mem(), $disk, $file/a.img', chunk = '4K' }" ;;
  mirror) echo "backing = ublk.mirror{ $file/whole.img', $disk }" ;;
  cow) echo "backing = ublk.cow($file/base.img', { store = $file/store.img' })" ;;
  nested)
    echo "backing = ublk.cow(ublk.mirror{ $file/whole.img', $disk }, {
      store = ublk.stripe{ $file/a.img', $file/b.img' } })"
    ;;
  esac
}

# What fields_of names for this backing holds zeros, and there is no store yet.
fresh() {
  case $1 in
  stripe) truncate -s 4M "$dir/a.img" ;;
  tmpfs | mirror | cow | nested)
    rm -f "$dir"/{whole,a,b,store}.img
    truncate -s 8M "$dir"/{whole,a,b}.img
    ;;
  esac
  [[ ! $1 =~ mirror|nested ]] || blkdiscard -z "$below" # the legs must be the same
}

# refusal BACKING MODE BATCH: words of the line by which the program must refuse it; none: it must
# not.
refusal() {
  if [[ $3 == true ]] && ! since 7.0; then
    echo "batch = true: this kernel's ublk driver has no BATCH_IO.*7.0"
  elif [[ $2 == zero_copy ]] && ! since 6.15; then
    echo 'mode = "zero_copy": this kernel.* SUPPORT_ZERO_COPY.*6.15'
  elif [[ $2 == auto_buf ]] && ! since 6.16; then
    echo 'mode = "auto_buf": this kernel.* AUTO_BUF_REG.*6.16'
  elif [[ $2 == get_data && $3 == true ]]; then
    echo 'mode = "get_data": it knows no batches'
  elif [[ $2 =~ zero_copy|auto_buf && $1 =~ mem|stripe|mirror|cow|nested ]]; then
    echo "mode = \"$2\": it is for backings that leave the data to the host"
  fi
}

# combine BACKING MODE QUEUES BATCH COMMAND…: run the command on such a device, which must be as was
# asked for; or see that the program refuses it.
combine() {
  local backing=$1 mode=$2 queues=$3 batch=$4 why told list batches=true
  local fields="return { max_io = '128K', batch = $batch, $(fields_of "$1") }"
  shift 4
  echo "# $backing, $mode, $queues queues, batch = $batch"
  why=$(refusal "$backing" "$mode" "$batch")
  fresh "$backing"
  if [[ -n $why ]]; then
    run --separate-stderr "$program" --mode "$mode" -q "$queues" -e "$fields" -- true
    [[ $status -eq 1 ]]
    one_line_error
    [[ $stderr =~ $why ]] || { echo "not refused by '$why' but by: $stderr" >&2 && return 1; }
    return
  fi
  start_device -v --mode "$mode" -q "$queues" -e "$fields"
  told=$(<"$server_err") list=("/sys/block/${device#/dev/}/mq"/*)
  [[ $told == *"data mode $mode: it was asked for"* ]]
  [[ $told =~ uses:\ [^$'\n']*BATCH_IO ]] || batches=false
  [[ $batches == "$batch" ]]
  [[ ${#list[@]} -eq $queues ]]
  "$@"
  end_device
}

# exercise OPERATIONS: random ones, from a seed that is told, or that of EXERCISE_SEED.
exercise() {
  "$exerciser" ${EXERCISE_SEED:+-s "$EXERCISE_SEED"} -n "$1" -j 4 "$device" >&2
}

# Writes and reads of all sizes by fio, at random, from two jobs.
mixed_sizes() {
  verify --iodepth=16 --size=2M --numjobs=2 --offset_increment=4M --bsrange=512-128k \
    --bs_unaligned=0 --blockalign=512 --number_ios=60
}
