# SPDX-License-Identifier: Apache-2.0
# Sourced after lib.sh: $work/keeper, the script of a guest that keeps a number in its memory and on two disks, and says
# them when it is asked (keeper.py).
cat >"$work/keeper" <<'SCRIPT'
stty -echo
nonce=$(head -c 16 /dev/urandom | md5sum | cut -c1-16)
dd if=/dev/urandom of=/tmp/noise bs=1M count=8 2>/dev/null
sum=$(md5sum </tmp/noise)
n=0
read_disk() {
	dd if=/dev/vd$1 bs=4k count=1 2>/dev/null | tr -cd 0-9
}
while read -r word number; do
	case $word in
	who) echo "WHO $number $nonce" ;;
	put)
		n=$number
		printf '%-4096d' $n >/tmp/block
		for disk in a b; do
			dd if=/tmp/block of=/dev/vd$disk bs=4k conv=notrunc,fsync 2>/dev/null
		done
		echo "PUT $n"
		;;
	get)
		echo 3 >/proc/sys/vm/drop_caches
		right=wrong
		[ "$(md5sum </tmp/noise)" = "$sum" ] && right=right
		echo "HAS $number $nonce $right $n $(read_disk a) $(read_disk b)"
		;;
	esac
done
SCRIPT
