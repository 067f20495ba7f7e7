import SEVABI

/// A command of `/dev/sev` and how the process hands it over.
struct NaiveDeviceCommand: Hashable, CustomStringConvertible {
  var id: UInt32
  /// Whether the process opened the device for writing.
  var isWritable = true
  var structure = NaiveAccess.readWrite
  var block = NaiveAccess.readWrite
  /// PEK_CSR, GET_ID2: the only buffer. PDH_CERT_EXPORT: the certificate. PEK_CERT_IMPORT: the signed PEK.
  var first = NaiveBuffer()
  /// PDH_CERT_EXPORT: the chain. PEK_CERT_IMPORT: the owner's authority.
  var second = NaiveBuffer()

  var description: String {
    "\(DeviceCommandID(rawValue: id)?.symbol ?? "") \(id)\(isWritable ? "" : ", opened for reading"), struct "
      + "\(structure), block \(block): \(first), \(second)"
  }
}

/// The driver of `/dev/sev` a second time.
extension NaiveKernel {
  private enum Length {
    static let certificate: UInt32 = 2084
    static let chain: UInt32 = 6252
    static let identifier: UInt32 = 128
    static let blob: UInt32 = 0x4000
  }

  mutating func device(_ command: NaiveDeviceCommand) -> NaiveAnswer {
    if command.block == .unmapped { return NaiveAnswer(error: .badAddress) }
    if command.id > 8 { return NaiveAnswer(error: .invalidArgument) }
    var outcome: Outcome
    do throws(NaiveFirmware.Refusal) {
      outcome = try perform(command)
    } catch {
      outcome = .refused(error.status)
    }
    if command.block == .readOnly { return NaiveAnswer(error: .badAddress) }
    return NaiveAnswer(
      error: outcome.error, firmware: outcome.status?.rawValue ?? NaiveAnswer.untouched,
      fields: outcome.fields)
  }

  private mutating func perform(
    _ command: NaiveDeviceCommand
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    // FACTORY_RESET, PEK_GEN, PEK_CSR, PDH_GEN, PEK_CERT_IMPORT.
    if [0, 2, 3, 4, 6].contains(command.id), !command.isWritable { return .failed(.notPermitted) }
    switch command.id {
    case 0:
      // The driver asked for the state before.
      if !firmware.guests.isEmpty { return Outcome(error: .busy, status: .success) }
      firmware.factoryReset()
      return .done()
    case 1:
      if command.structure != .readWrite { return .notDelivered }
      return .done([UInt64(firmware.state), firmware.flags, UInt64(firmware.guests.count)])
    case 2:
      firmware.initialize()
      try firmware.generatePEK()
      return .done()
    case 3: return sized(command, needed: Length.certificate, initializes: true)
    case 4:
      firmware.initialize()
      firmware.generatePDH()
      return .done()
    case 5: return export(command)
    case 6:
      if command.structure == .unmapped { return .failed(.badAddress) }
      if let error = blob(command.first) ?? blob(command.second) { return .failed(error) }
      firmware.initialize()
      try firmware.importPEK(command.first, owner: command.second)
      return .done()
    case 7: return command.structure == .readWrite ? .done() : .notDelivered
    default: return sized(command, needed: Length.identifier, initializes: false)
    }
  }

  /// PEK_CSR and GET_ID2: a buffer and its length, which is written back before the buffer.
  private mutating func sized(
    _ command: NaiveDeviceCommand, needed: UInt32, initializes: Bool
  ) -> Outcome {
    if command.structure == .unmapped { return .failed(.badAddress) }
    let isQuery = command.first.address == 0 || command.first.length == 0
    if !isQuery, command.first.length > Length.blob { return .failed(.badAddress) }
    if initializes { firmware.initialize() }
    if isQuery || command.first.length < needed { return tooShort(command, [needed]) }
    if command.structure == .readOnly { return .notDelivered }
    if !NaivePlace.isMapped(command.first.address, UInt64(needed)) { return .notDelivered }
    return .done([UInt64(needed)])
  }

  private mutating func export(_ command: NaiveDeviceCommand) -> Outcome {
    if firmware.state == 0 {
      if !command.isWritable { return .failed(.notPermitted) }
      firmware.initialize()
    }
    if command.structure == .unmapped { return .failed(.badAddress) }
    let (certificate, chain) = (command.first, command.second)
    let isQuery = certificate.address == 0 || certificate.length == 0 || chain.address == 0
    if !isQuery, certificate.length > Length.blob || chain.length > Length.blob {
      return .failed(.badAddress)
    }
    if isQuery || certificate.length < Length.certificate || chain.length < Length.chain {
      return tooShort(command, [Length.certificate, Length.chain])
    }
    if command.structure == .readOnly { return .notDelivered }
    if !NaivePlace.isMapped(certificate.address, UInt64(Length.certificate))
      || !NaivePlace.isMapped(chain.address, UInt64(Length.chain))
    {
      return .notDelivered
    }
    return .done([UInt64(Length.certificate), UInt64(Length.chain)])
  }

  /// INVALID_LENGTH, with the lengths that the firmware wants.
  private func tooShort(_ command: NaiveDeviceCommand, _ lengths: [UInt32]) -> Outcome {
    if command.structure != .readWrite { return Outcome(error: .badAddress, status: .invalidLength) }
    return .refused(.invalidLength, fields: lengths.map(UInt64.init))
  }
}

/// Who the platform is, in names.
struct NaiveIdentity {
  /// Certificates as they are between two changes: which keys they are of.
  struct Edition: Hashable {
    var endorsement = 0
    var authority = Authority.platform(0)
  }

  enum Authority: Hashable {
    /// An authority that the firmware made.
    case platform(Int)
    /// The tests' owner.
    case owner
  }

  /// The last one is how it is now. Each has a Diffie-Hellman key of its own.
  var editions = [Edition()]
  private var made = 0

  var current: Edition { editions[editions.count - 1] }
  var edition: Int { editions.count - 1 }
  var isExternallyOwned: Bool { current.authority == .owner }

  mutating func add(newEndorsement: Bool, authority: Authority) {
    var edition = current
    if newEndorsement {
      made += 1
      edition.endorsement = made
    }
    edition.authority = authority
    editions.append(edition)
  }

  mutating func makeAuthority() -> Authority {
    made += 1
    return .platform(made)
  }
}

extension NaiveFirmware {
  /// 0 UNINIT, 1 INIT, 2 WORKING.
  var state: Int { guests.isEmpty ? (isInitialized ? 1 : 0) : 2 }

  /// What PLATFORM_STATUS says: owned, and initialised for SEV-ES.
  var flags: UInt64 {
    (identity.isExternallyOwned ? 1 : 0) | (isInitialized && supportsEncryptedState ? 0x100 : 0)
  }

  mutating func initialize() { isInitialized = true }

  mutating func factoryReset() {
    isInitialized = false
    let authority = identity.makeAuthority()
    identity.add(newEndorsement: true, authority: authority)
  }

  mutating func generatePEK() throws(Refusal) {
    guard guests.isEmpty else { throw Refusal(.invalidPlatformState) }
    let authority = identity.isExternallyOwned ? identity.makeAuthority() : identity.current.authority
    identity.add(newEndorsement: true, authority: authority)
  }

  mutating func generatePDH() {
    identity.add(newEndorsement: false, authority: identity.current.authority)
  }

  mutating func importPEK(_ pek: NaiveBuffer, owner: NaiveBuffer) throws(Refusal) {
    guard guests.isEmpty else { throw Refusal(.invalidPlatformState) }
    guard !identity.isExternallyOwned else { throw Refusal(.alreadyOwned) }
    guard pek.length == 2084, owner.length == 2084 else { throw Refusal(.invalidLength) }
    guard owner.content == .ownerAuthority, case .signingRequest(let edition, let isSigned) = pek.content,
      identity.editions[edition].endorsement == identity.current.endorsement
    else { throw Refusal(.invalidCertificate) }
    guard isSigned else { throw Refusal(.badSignature) }
    identity.add(newEndorsement: false, authority: .owner)
  }

  /// What a policy wants to be known of the receiver's certificates.
  func verify(_ arguments: NaiveArguments, policy: UInt32) throws(Refusal) {
    let needsChain = policy & (Policy.genuine | Policy.domain) != 0
    guard needsChain else { return }
    guard arguments.platformCertificates.length == 6252, arguments.certificate.length == 2084 else {
      throw Refusal(.invalidLength)
    }
    if policy & Policy.genuine != 0, ![1664, 2432, 3200].contains(arguments.amdCertificates.length) {
      throw Refusal(.invalidLength)
    }
    guard case .platformChain(let chain) = arguments.platformCertificates.content else {
      throw Refusal(.invalidCertificate)
    }
    let endorsement = identity.editions[chain].endorsement
    switch arguments.certificate.content {
    case .platformCertificate(let edition):
      guard identity.editions[edition].endorsement == endorsement else { throw Refusal(.badSignature) }
    case .ownerCertificate: throw Refusal(.badSignature)
    default: throw Refusal(.invalidCertificate)
    }
    // The receiver's PEK has this firmware's version.
    let neededMajor = policy >> 16 & 0xFF
    let neededMinor = policy >> 24
    if policy & Policy.genuine != 0,
      neededMajor > major || neededMajor == major && neededMinor > minor
    {
      throw Refusal(.policyFailure)
    }
    if policy & Policy.domain != 0, identity.editions[chain].authority != identity.current.authority {
      throw Refusal(.policyFailure)
    }
  }
}
