/// The name of a staged context: the token of LOCAL_SEND.
///
/// Has no description, so that it is not printed by accident.
public struct StagedContextID: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
  let token: UInt64

  public var description: String { "(token)" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A context between LOCAL_SEND and LOCAL_RECEIVE.
///
/// Its regions and its vCPUs' own states are in nobody else's hands meanwhile; ASID and handle stay known to the
/// source, whose vCPUs the kernel does not stop.
struct StagedContext: Sendable {
  /// A SEV-ES vCPU's own state and the number that the source's VMM gave the vCPU.
  struct RegisterState: Sendable {
    let number: UInt32
    var state: EncryptedState
  }

  /// False once it was received. The entry itself stays until the source is destroyed, so that its token is
  /// not given out a second time.
  var isValid = true
  var asid: UInt32
  var handle: UInt32
  var lockedPages: UInt64
  var regions: [PinnedRegion]
  var controlGroup: ControlGroupID
  var hasEncryptedState: Bool
  var registerStates: [RegisterState]
  var applicationProcessorJumpTable: UInt64
}

/// All staged contexts of the host by their token.
struct StagingTable: Sendable {
  private var contexts: [UInt64: StagedContext] = [:]

  /// How often a token is drawn before LOCAL_SEND gives up.
  static let maximumDraws = 3

  subscript(id: StagedContextID) -> StagedContext? {
    get { contexts[id.token] }
    set { contexts[id.token] = newValue }
  }

  /// Files a context under a fresh token, or says nil after three tokens that were all in use.
  ///
  /// A draw of 0 is repeated and not counted: 0 means "no token". (The June 2021 patches do not exclude it.)
  mutating func insert(
    _ context: StagedContext, random: inout any RandomSource
  ) -> StagedContextID? {
    var draws = 0
    while draws < Self.maximumDraws {
      let token = random.word()
      if token == 0 { continue }
      draws += 1
      if contexts[token] == nil {
        contexts[token] = context
        return StagedContextID(token: token)
      }
    }
    return nil
  }

  /// Looks up a context that can be received.
  func valid(_ token: UInt64) -> (StagedContextID, StagedContext)? {
    guard let context = contexts[token], context.isValid else { return nil }
    return (StagedContextID(token: token), context)
  }
}
