# How a real systemd is booted over this machine's own /usr. To be sourced by bash, in the project's folder.

# Where the container sees the installed tree, read-only.
container_prefix=/baton

# Prints why no container can be started here; nothing when one can.
container_missing() {
  local output
  if [ "$(id -u)" != 0 ] || ! command -v systemd-nspawn >/dev/null; then
    echo "that needs root and systemd-nspawn (package systemd-container)"
    return
  fi
  # Some machines let root have no container.
  output=$(timeout 60 systemd-nspawn -q -D / --volatile=yes --register=no --keep-unit --machine="baton-probe-$$" \
    /bin/true 2>&1) || echo "no container can be started here: $(tail -n 1 <<<"$output")"
}

# container_tree WORK BIN_DIR: the tree as it is installed, in WORK/root.
container_tree() { DESTDIR=$1/root PREFIX=$container_prefix Scripts/install --bin-dir "$2"; }

# Gives this shell control groups of its own and prints them. Containers would share their caller's otherwise, and
# the service managers in them would move and kill each other's processes.
container_groups() {
  local controllers path root
  while IFS=: read -r _ controllers path; do
    case $controllers in
      '') root=$(findmnt -n -t cgroup2 -o TARGET | head -n 1) ;;
      name=systemd) root=$(findmnt -n -t cgroup -O name=systemd -o TARGET | head -n 1) ;;
      *) continue ;;
    esac
    path=$root${path%/}/baton-test-$BASHPID
    mkdir "$path" && echo "$BASHPID" >"$path/cgroup.procs" && echo "$path"
  done </proc/self/cgroup
}

# container_boot WORK BIN_DIR SECONDS [OPTION…]: boots and runs WORK/out/drive, which sees WORK/out as /out and
# Tests/Systemd as /tests; then the container ends, with that program's status. OPTION are further ones of
# systemd-nspawn. The console is in WORK/console.
#
# --volatile=yes: the host's /usr read-only under an empty root. Never start a second systemd over the shared
# root in any other way: its tmpfiles service empties /tmp for everybody.
# CAP_IPC_LOCK: a SEV guest's memory is pinned, and the limit cannot be raised in a container.
# --pdeathsig: the container does not outlive who started it.
container_boot() {
  local work=$1 bin_dir=$2 seconds=$3 libraries
  shift 3
  local binds=(
    "--bind-ro=$work/root$container_prefix:$container_prefix" "--bind=$work/out:/out"
    "--bind-ro=$PWD/Tests/Systemd:/tests")
  # Programs that were built with shared Swift libraries find them where the toolchain is.
  libraries=$(ldd "$bin_dir/batond" | sed -n 's|.*=> \(.*\)/libswiftCore\.so .*|\1|p')
  [ -z "$libraries" ] || binds+=("--bind-ro=$libraries:$libraries")
  chmod 0755 "$work" "$work/out" "$work/out/drive"
  # A shell of its own, because it moves into other control groups.
  (
    container_groups >"$work/groups"
    exec setpriv --pdeathsig TERM timeout "$seconds" systemd-nspawn -q -D / --volatile=yes --register=no --keep-unit \
      --machine="baton-test-$BASHPID" --capability=CAP_IPC_LOCK "${binds[@]}" "$@" --boot systemd.firstboot=no \
      systemd.run=/out/drive systemd.unit=kernel-command-line.target
  ) >"$work/console" 2>&1
  local status=$? group
  while IFS= read -r group; do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; done <"$work/groups"
  return "$status"
}
