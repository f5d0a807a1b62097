# shellcheck shell=bash
# File systems on devices whose files are on a file system themselves: made, filled, looked at by
# their own checkers, and there again when the device is started again. Loaded after lib.bash.

dir=$BATS_TEST_TMPDIR/mnt # where the files of the devices are
inner=$BATS_TEST_TMPDIR/inner # where the file systems on them are mounted

# A file system on a device of ours, mounted on $dir: its files are not in memory.
mount_lower() {
  start_lower ramdisk.lua size=1G
  mkfs.ext4 -q "$below"
  mkdir "$dir" "$inner"
  mount "$below" "$dir"
}

umount_lower() {
  umount "$dir"
  fsck.ext4 -fn "$below"
  end_lower
}

umount_all() {
  umount -l "$inner" 2>/dev/null || true
  [[ -z $server ]] || end_device || true
  umount -l "$dir" 2>/dev/null || true
}

# over_files TEXT: start a device with these fields; in them, DIR is where the files are.
over_files() { start_device -e "return { ${1//DIR/$dir} }"; }

# make_fs KIND IMAGE: an image with an empty file system, as small as it may be.
make_fs() {
  case $1 in
  ext4) truncate -s 64M "$2" && mkfs.ext4 -q -F "$2" ;;
  xfs) truncate -s 320M "$2" && mkfs.xfs -q "$2" ;;
  btrfs) truncate -s 128M "$2" && mkfs.btrfs -q "$2" ;;
  esac
}

# check_fs KIND NODE: nothing is wrong with it.
check_fs() {
  case $1 in
  ext4) e2fsck -fn "$2" ;;
  xfs) xfs_repair -n "$2" ;;
  btrfs) btrfs check --readonly "$2" ;;
  esac
}

# fill DIRECTORY: some files of all sizes in it, on the disk, with their checksums kept beside.
fill() {
  local i
  for i in {1..40}; do
    head -c $((i * 7919)) /dev/urandom >"$1/file$i"
  done
  rm "$1/file"?
  sync "$1/file40"
  (cd "$1" && sha256sum file*) >"$BATS_TEST_TMPDIR/sums"
}

# fill_up DIRECTORY: the same until there is no room.
fill_up() {
  fill "$1"
  cp -r "$top/core" "$1/filed"
  head -c 1G /dev/urandom >"$1/file" 2>/dev/null && return 1
  sync "$1/file40"
  (cd "$1" && find . -type f -exec sha256sum {} +) >"$BATS_TEST_TMPDIR/sums"
}

as_filled() { (cd "$1" && sha256sum --quiet -c "$BATS_TEST_TMPDIR/sums"); }

# on_mounted KIND COMMAND…: run it on the file system of the device, and check that afterwards.
on_mounted() {
  mount "$device" "$inner"
  "${@:2}" "$inner"
  [[ $1 != btrfs ]] || btrfs scrub start -B "$inner" | grep -q 'no errors found'
  umount "$inner"
  check_fs "$1" "$device"
  end_device
}

# survives KIND BACKING FILL-COMMAND: a file system on a file or on copy on write over one.
survives() {
  local fields="queues = 2, backing = ublk.file('DIR/base.img', { direct = true })"
  modprobe "$1" 2>/dev/null || skip "needs $1"
  mount_lower
  make_fs "$1" "$dir/base.img"
  if [[ $2 == cow ]]; then
    fields="queues = 2, backing = ublk.cow(ublk.file 'DIR/base.img', { store = ublk.file 'DIR/cow.img' })"
    cp --sparse=always "$dir/base.img" "$BATS_TEST_TMPDIR/before.img"
  fi
  over_files "$fields"
  on_mounted "$1" "$3"
  over_files "$fields"
  on_mounted "$1" as_filled
  [[ $2 != cow ]] || cmp "$dir/base.img" "$BATS_TEST_TMPDIR/before.img"
  umount_lower
}
