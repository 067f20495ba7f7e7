extension VMMMessage {
  /// Most bytes of a reason for people.
  static let maximumReason = 1_024

  /// The message as it goes into records.
  ///
  /// - Parameter contextVMs: How many VM descriptors follow its own, at most ``mostContextVMs``.
  public func encoded(contextVMs: Int = 0) -> Message {
    precondition((0...mostContextVMs).contains(contextVMs), "these VMs do not belong to the message")
    var writer = ByteWriter()
    switch self {
    case .hello(let hello): hello.encode(into: &writer)
    case .offer(let handoff, let manifest):
      writer.write(handoff)
      manifest.encode(into: &writer)
    case .ready(let number), .received(let number), .tookBack(let number), .used(let number),
      .resumed(let number), .ended(let number), .park(let number):
      writer.write(number)
    case .stage(let handoff, let stage):
      writer.write(handoff)
      stage.encode(into: &writer)
    case .refused(let handoff, let used):
      writer.write(handoff)
      writer.write(used)
    case .running(let epoch, let firstInstruction):
      writer.write(epoch)
      writer.write(firstInstruction)
    case .declined(let handoff, let refusal, let text):
      writer.write(handoff)
      writer.write(refusal.rawValue)
      writer.write(text, maximum: Self.maximumReason)
    case .described(let manifest): manifest.encode(into: &writer)
    case .preflightReport(let checks):
      writer.write(UInt16(checks.count))
      for check in checks { check.encode(into: &writer) }
    case .departing(let id), .departed(let id), .arrived(let id), .confirmed(let id):
      id.encode(into: &writer)
    case .stays(let id, let refusal, let text):
      id.encode(into: &writer)
      writer.write(refusal.rawValue)
      writer.write(text, maximum: Self.maximumReason)
    case .receipt(let id, let receipt):
      id.encode(into: &writer)
      receipt.encode(into: &writer)
    case .migrationReport(let id, let report):
      id.encode(into: &writer)
      report.encode(into: &writer)
    }
    return Message(
      type: type, payload: writer.bytes, descriptorCount: descriptorCount + contextVMs)
  }

  /// Reads a message and checks that as many descriptors came as belong to it, or with VMs as may.
  public init(decoding message: Message) throws(WireError) {
    var reader = ByteReader(message.payload)
    switch message.type {
    case 1: self = .hello(try Hello(decoding: &reader))
    case 2:
      self = .offer(
        handoff: try reader.read(UInt64.self, "handoff"), try Manifest(decoding: &reader))
    case 3: self = .ready(handoff: try reader.read(UInt64.self, "handoff"))
    case 4:
      self = .stage(handoff: try reader.read(UInt64.self, "handoff"), try Stage(decoding: &reader))
    case 5: self = .received(handoff: try reader.read(UInt64.self, "handoff"))
    case 6:
      self = .refused(
        handoff: try reader.read(UInt64.self, "handoff"), used: try reader.readFlag("used flag"))
    case 7: self = .tookBack(handoff: try reader.read(UInt64.self, "handoff"))
    case 8: self = .used(handoff: try reader.read(UInt64.self, "handoff"))
    case 9: self = .resumed(handoff: try reader.read(UInt64.self, "handoff"))
    case 10:
      self = .running(
        epoch: try reader.read(UInt64.self, "epoch"),
        firstInstruction: try reader.read(UInt64.self, "first instruction"))
    case 11:
      let handoff = try reader.read(UInt64.self, "handoff")
      let refusal = try Refusal(decoding: &reader)
      self = .declined(handoff: handoff, refusal, try reader.readText("reason", maximum: Self.maximumReason))
    case 12:
      let count = Int(try reader.read(UInt16.self, "check count"))
      guard count <= 64 else { throw .badValue(field: "check count") }
      var checks: [PreflightCheck] = []
      for _ in 0..<count { checks.append(try PreflightCheck(decoding: &reader)) }
      self = .preflightReport(checks)
    case 13: self = .ended(epoch: try reader.read(UInt64.self, "epoch"))
    case 14: self = .described(try Manifest(decoding: &reader))
    case 15: self = .park(epoch: try reader.read(UInt64.self, "epoch"))
    case 16: self = .departing(try MigrationID(decoding: &reader))
    case 17: self = .departed(try MigrationID(decoding: &reader))
    case 18:
      let id = try MigrationID(decoding: &reader)
      let refusal = try Refusal(decoding: &reader)
      self = .stays(id, refusal, try reader.readText("reason", maximum: Self.maximumReason))
    case 19: self = .arrived(try MigrationID(decoding: &reader))
    case 20:
      self = .receipt(try MigrationID(decoding: &reader), try DepartureReceipt(decoding: &reader))
    case 21:
      self = .migrationReport(
        try MigrationID(decoding: &reader), try MigrationReport(decoding: &reader))
    case 22: self = .confirmed(try MigrationID(decoding: &reader))
    default: throw .unknownType(message.type)
    }
    try reader.finish()
    guard (0...mostContextVMs).contains(message.descriptorCount - descriptorCount) else {
      throw .wrongDescriptorCount(announced: descriptorCount, received: message.descriptorCount)
    }
  }
}

extension RegistryMessage {
  /// Most bytes of a reason for people.
  static let maximumReason = 1_024

  /// The message as it goes into records.
  ///
  /// - Parameter contextVMs: How many VM descriptors follow its own, at most ``mostContextVMs``.
  public func encoded(contextVMs: Int = 0) -> Message {
    precondition((0...mostContextVMs).contains(contextVMs), "these VMs do not belong to the message")
    var writer = ByteWriter()
    switch self {
    case .welcome(let welcome):
      writer.write(welcome.version)
      writer.write(welcome.role.rawValue)
      welcome.deadlines.encode(into: &writer)
    case .prepare(let number), .freeze(let number), .takeBack(let number), .run(let number):
      writer.write(number)
    case .offered(let handoff, let manifest, let isGuestStopped):
      writer.write(handoff)
      writer.write(isGuestStopped)
      manifest.encode(into: &writer)
    case .claim(let handoff, let stage):
      writer.write(handoff)
      stage.encode(into: &writer)
    case .release(let refusal): writer.write(refusal?.rawValue ?? 0)
    case .refusal(let refusal, let text):
      writer.write(refusal.rawValue)
      writer.write(text, maximum: Self.maximumReason)
    case .preflight: break
    case .migrate(let id, let lock, let request):
      id.encode(into: &writer)
      lock.encode(into: &writer)
      request.encode(into: &writer)
    case .depart(let id, let receipt):
      id.encode(into: &writer)
      receipt.encode(into: &writer)
    case .cancelMigration(let id), .arrivalJournalled(let id): id.encode(into: &writer)
    }
    return Message(
      type: type, payload: writer.bytes, descriptorCount: descriptorCount + contextVMs)
  }

  /// Reads a message and checks that as many descriptors came as belong to it, or with VMs as may.
  public init(decoding message: Message) throws(WireError) {
    var reader = ByteReader(message.payload)
    switch message.type {
    case 101:
      let version = try reader.read(UInt16.self, "version")
      guard let role = Welcome.Role(rawValue: try reader.read(UInt8.self, "role")) else {
        throw .badValue(field: "role")
      }
      self = .welcome(
        Welcome(version: version, role: role, deadlines: try Deadlines(decoding: &reader)))
    case 102: self = .prepare(handoff: try reader.read(UInt64.self, "handoff"))
    case 103:
      let handoff = try reader.read(UInt64.self, "handoff")
      let isGuestStopped = try reader.readFlag("stopped flag")
      self = .offered(
        handoff: handoff, try Manifest(decoding: &reader), isGuestStopped: isGuestStopped)
    case 104: self = .freeze(handoff: try reader.read(UInt64.self, "handoff"))
    case 105:
      self = .claim(handoff: try reader.read(UInt64.self, "handoff"), try Stage(decoding: &reader))
    case 106: self = .takeBack(handoff: try reader.read(UInt64.self, "handoff"))
    case 107: self = .run(epoch: try reader.read(UInt64.self, "epoch"))
    case 108:
      let code = try reader.read(UInt16.self, "refusal")
      if code == 0 {
        self = .release(nil)
      } else if let refusal = Refusal(rawValue: code) {
        self = .release(refusal)
      } else {
        throw .badValue(field: "refusal")
      }
    case 109:
      let refusal = try Refusal(decoding: &reader)
      self = .refusal(refusal, try reader.readText("reason", maximum: Self.maximumReason))
    case 110: self = .preflight
    case 111:
      self = .migrate(
        try MigrationID(decoding: &reader), try DepartureLock(decoding: &reader),
        try MigrationRequest(decoding: &reader))
    case 112:
      self = .depart(try MigrationID(decoding: &reader), try DepartureReceipt(decoding: &reader))
    case 113: self = .cancelMigration(try MigrationID(decoding: &reader))
    case 114: self = .arrivalJournalled(try MigrationID(decoding: &reader))
    default: throw .unknownType(message.type)
    }
    try reader.finish()
    guard (0...mostContextVMs).contains(message.descriptorCount - descriptorCount) else {
      throw .wrongDescriptorCount(announced: descriptorCount, received: message.descriptorCount)
    }
  }
}

extension Refusal {
  init(decoding reader: inout ByteReader) throws(WireError) {
    guard let refusal = Refusal(rawValue: try reader.read(UInt16.self, "refusal")) else {
      throw .badValue(field: "refusal")
    }
    self = refusal
  }
}
