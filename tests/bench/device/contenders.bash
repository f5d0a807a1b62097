# shellcheck shell=bash
# Who is measured: a line each. The columns are a name, the family that knows how to start it
# (families.bash), the features of the kernel's ublk driver that it needs, and what the family is
# told. Names before a colon are devices, after it is the way that data takes.

# How requests and their data get to a ublk server and back: what the driver must offer for it, its
# bits among a device's flags, kublk's options (with commas), and the fields of a device of ours.
modes() {
  cat <<'END'
copy            -                  0       -             mode = 'copy', batch = false
get_data        NEED_GET_DATA      0x4     -g            mode = 'get_data', batch = false
user_copy       USER_COPY          0x80    -u            mode = 'user_copy', batch = false
zero_copy       SUPPORT_ZERO_COPY  0x1     -z            mode = 'zero_copy', batch = false
auto_buf        AUTO_BUF_REG       0x800   --auto_zc     mode = 'auto_buf', batch = false
batch           BATCH_IO           0x8000  -b            mode = 'copy', batch = true
batch_auto_buf  BATCH_IO           0x8800  -b,--auto_zc  mode = 'auto_buf', batch = true
END
}

# This program: in the second column, whether in each mode too; then a device's fields, but for
# size and queues (without a mode: what the program chooses). F is a handler that lets all pass.
ours() {
  cat <<'END'
null      each  backing = ublk.null()
pass      -     backing = ublk.null(), read = F, write = F
other     -     backing = ublk.null(), discard = F
mem       -     backing = ublk.mem()
mem-copy  -     backing = ublk.mem(), mode = 'copy', batch = false
file      each  backing = ublk.file(FILE)
END
}

others() {
  cat <<'END'
nbdkit-null     nbdkit      -  null
nbdkit-lua      nbdkit      -  lua
loop            loop        -
null_blk        null_blk    -
dm-flakey       dm          -  flakey
dm-delay        dm          -  delay
END
}

our_contenders() {
  local name each fields mode feature told
  while read -r name each fields; do
    echo "$name ours - $fields"
    [ "$each" = each ] || continue
    while read -r mode feature _ _ told; do
      echo "$name:$mode ours $feature $told, $fields"
    done < <(modes)
  done < <(ours)
}

kublk_contenders() {
  local mode feature bits options
  [ -n "${KUBLK-}" ] || return 0
  while read -r mode feature bits options _; do
    [ "$options" != - ] || options=
    echo "kublk-null:$mode kublk $feature $bits -t null ${options//,/ }"
    echo "kublk-loop:$mode kublk $feature $bits -t loop ${options//,/ }"
  done < <(modes)
}

contenders() {
  our_contenders
  kublk_contenders
  others
}
