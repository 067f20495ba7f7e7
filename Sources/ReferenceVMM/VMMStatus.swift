/// Where a VMM is in its life, in the words of `systemctl status` (`STATUS=`, sd_notify(3)).
enum VMMStatus: Hashable, Sendable {
  case waitingForRegistry(path: String)
  case waitingForDecision
  case startingGuest
  case mapping(doneBytes: Int, ofBytes: Int)
  case preparing
  case waitingForBaton(handoff: UInt64)
  case registryGone
  case running(epoch: UInt64)
  case runningAnew(epoch: UInt64)
  case offered(handoff: UInt64)
  case waitingForAttempt(handoff: UInt64)
  case migrating(host: String)
  case departed(host: String)
  case waitingForSource
  case receiving(peer: String)
  case waitingForReceipt(peer: String)
  case parking
  case ending
  case released
  case parked
  case ended
  case gaveUp
  case failed(why: String)

  var text: String {
    switch self {
    case .waitingForRegistry(let path): "waiting for the registry at \(path)"
    case .waitingForDecision: "waiting for the registry's decision"
    case .startingGuest: "starting the guest"
    case .mapping(let done, let all): "preparing: mapping \(done >> 20) of \(all >> 20) MiB"
    case .preparing: "preparing: vCPUs and devices"
    case .waitingForBaton(let handoff):
      "prepared for handoff \(handoff), waiting for the baton; the guest is not here yet"
    case .registryGone: "waiting paused for the registry, which is gone or silent: start batond"
    case .running(let epoch): "running in epoch \(epoch)"
    case .runningAnew(let epoch): "running in epoch \(epoch), started anew"
    case .offered(let handoff): "handing over: handoff \(handoff) is under way, the guest runs here"
    case .waitingForAttempt(let handoff): "stopping: waiting for the end of handoff \(handoff)"
    case .migrating(let host): "being migrated to \(host), the guest runs here"
    case .departed(let host): "migrated: the guest was given up here for \(host)"
    case .waitingForSource: "waiting for the guest to come from another host"
    case .receiving(let peer): "receiving the guest from \(peer); it runs there"
    case .waitingForReceipt(let peer):
      "the guest from \(peer) is all here and waits paused until it is given up there"
    case .parking: "restarting: waiting for the registry to take the guest into custody"
    case .ending: "ending the guest"
    case .released: "handed over: the guest is with its successor"
    case .parked: "parked: the guest waits in the registry's custody for the next VMM"
    case .ended: "the guest has ended"
    case .gaveUp: "stopped before the guest was here; it stays where it was"
    case .failed(let why): why
    }
  }
}
