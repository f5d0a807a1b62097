# shellcheck shell=bash
# Who is measured: a line each. The columns are a name, the family that knows how to start it
# (families.bash), the features of the kernel's ublk driver that it needs, and what the family is
# told. Names before a colon are devices, after it is the way that data takes.

# How data gets to and from a ublk server, what the driver must offer for it, its bit among a
# device's flags, and how kublk is told.
modes() {
  cat <<'END'
copy        -                  0       -
user        USER_COPY          0x80    -u
zero        SUPPORT_ZERO_COPY  0x1     -z
auto        AUTO_BUF_REG       0x800   --auto_zc
batch       BATCH_IO           0x8000  -b
END
}

# Those that this program can be told, as `mode`; without one it is what the program chooses.
readonly our_modes=''

# This program: a device's fields, but for size and queues. F is a handler that lets all pass.
ours() {
  cat <<'END'
null        backing = ublk.null()
pass        backing = ublk.null(), read = F, write = F
other       backing = ublk.null(), discard = F
mem         backing = ublk.mem()
file        backing = ublk.file(FILE)
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

kublk_contenders() {
  local mode feature bit option
  [ -n "${KUBLK-}" ] || return 0
  while read -r mode feature bit option; do
    [ "$option" != - ] || option=
    echo "kublk-null:$mode kublk $feature $bit -t null $option"
    echo "kublk-loop:$mode kublk $feature $bit -t loop $option"
  done < <(modes)
}

our_contenders() {
  local name fields mode feature
  while read -r name fields; do
    echo "$name ours - $fields"
    for mode in $our_modes; do
      feature=$(modes | awk -v mode="$mode" '$1 == mode { print $2 }')
      echo "$name:$mode ours $feature mode = '$mode', $fields"
    done
  done < <(ours)
}

contenders() {
  our_contenders
  kublk_contenders
  others
}
