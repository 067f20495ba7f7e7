import BatonWire
import SEVDevice

/// In which way this VMM hands a SEV guest on. It takes one over in whichever way it is offered.
public enum HandoffChoice: String, Sendable, CaseIterable {
  case token, move, auto

  /// A way that this host offers, and why it is that one.
  struct Resolution: Hashable, Sendable {
    let way: Way
    let reason: String
  }

  /// Why no way was found.
  struct Unavailable: Error, Hashable, Sendable, CustomStringConvertible {
    let description: String
  }

  /// Chooses by what was found out about the kernel, never by its version.
  func resolve(_ ways: ContextWays) throws(Unavailable) -> Resolution {
    switch self {
    case .token:
      guard ways.token else {
        throw Unavailable(
          description: "this host has no LOCAL_SEND and LOCAL_RECEIVE; use --handoff move or auto")
      }
      return Resolution(way: .token, reason: "asked for, and this host has LOCAL_SEND and LOCAL_RECEIVE")
    case .move:
      guard ways.move else {
        throw Unavailable(
          description: "this host has no VM_MOVE_ENC_CONTEXT_FROM; use --handoff token or auto")
      }
      return Resolution(way: .move, reason: "asked for, and this host has VM_MOVE_ENC_CONTEXT_FROM")
    case .auto:
      // A kernel with the local-migration commands was patched for them on purpose.
      if ways.token {
        return Resolution(
          way: .token,
          reason: "this host has LOCAL_SEND and LOCAL_RECEIVE (command 23 knows a VM that is no guest)")
      }
      if ways.move {
        return Resolution(
          way: .move,
          reason: "this host has VM_MOVE_ENC_CONTEXT_FROM and not LOCAL_RECEIVE (command 23 is unknown)")
      }
      throw Unavailable(
        description: "this host has neither LOCAL_SEND and LOCAL_RECEIVE nor VM_MOVE_ENC_CONTEXT_FROM")
    }
  }
}
