/// Where a VMM stands that receives a guest from another host.
public struct Arriving: Hashable, Sendable {
  /// Most bytes of ``peer``.
  public static let maximumPeer = 255

  public var id: MigrationID
  /// What the receipt has to fit.
  public var lock: DepartureLock
  /// The guest's epoch on the host that it comes from.
  public var epoch: UInt64
  /// The name of that host.
  public var peer: String
  /// Everything is restored; only the receipt is missing.
  public var isArrived: Bool

  public init(id: MigrationID, lock: DepartureLock, epoch: UInt64, peer: String, isArrived: Bool = false) {
    self.id = id
    self.lock = lock
    self.epoch = epoch
    self.peer = peer
    self.isArrived = isArrived
  }
}

/// Where an owner stands whose guest is about to leave for another host.
public struct Departing: Hashable, Sendable {
  public enum Step: UInt8, Hashable, Sendable, CaseIterable {
    /// Has said `departing` and waits for the order.
    case asking = 0
    /// Has the order, with the receipt.
    case permitted = 1
    /// Has given the guest up and said `departed`.
    case sent = 2
    /// Could not give it up, and waits for the verdict to run it on.
    case staying = 3
  }

  public var id: MigrationID
  public var lock: DepartureLock
  /// The epoch in which it owned the guest.
  public var epoch: UInt64
  /// The other host, as the operator named it.
  public var peer: String
  public var step: Step
  /// What came with the order; nil before it.
  public var receipt: DepartureReceipt?

  public init(
    id: MigrationID, lock: DepartureLock, epoch: UInt64, peer: String, step: Step,
    receipt: DepartureReceipt? = nil
  ) {
    self.id = id
    self.lock = lock
    self.epoch = epoch
    self.peer = peer
    self.step = step
    self.receipt = receipt
  }
}

extension MigrationID {
  public func encode(into writer: inout ByteWriter) { writer.write(raw: bytes) }

  public init(decoding reader: inout ByteReader) throws(WireError) {
    guard let id = MigrationID(try reader.readRaw(Self.byteCount, "migration id")) else {
      throw .badValue(field: "migration id")
    }
    self = id
  }
}

extension DepartureLock {
  public func encode(into writer: inout ByteWriter) { writer.write(raw: bytes) }

  public init(decoding reader: inout ByteReader) throws(WireError) {
    guard let lock = DepartureLock(try reader.readRaw(Self.byteCount, "departure lock")) else {
      throw .badValue(field: "departure lock")
    }
    self = lock
  }
}

extension DepartureReceipt {
  public func encode(into writer: inout ByteWriter) { writer.write(raw: bytes) }

  public init(decoding reader: inout ByteReader) throws(WireError) {
    guard let receipt = DepartureReceipt(try reader.readRaw(Self.byteCount, "departure receipt"))
    else {
      throw .badValue(field: "departure receipt")
    }
    self = receipt
  }
}

extension Arriving {
  /// Everything but the epoch, which is the standing's number.
  func encode(into writer: inout ByteWriter) {
    id.encode(into: &writer)
    lock.encode(into: &writer)
    writer.write(peer)
    writer.write(isArrived)
  }

  init(epoch: UInt64, decoding reader: inout ByteReader) throws(WireError) {
    self.epoch = epoch
    id = try MigrationID(decoding: &reader)
    lock = try DepartureLock(decoding: &reader)
    peer = try reader.readText("source's host", maximum: Self.maximumPeer)
    isArrived = try reader.readFlag("arrived flag")
  }
}

extension Departing {
  /// Everything but the epoch, which is the standing's number.
  func encode(into writer: inout ByteWriter) {
    id.encode(into: &writer)
    lock.encode(into: &writer)
    writer.write(peer)
    writer.write(step.rawValue)
    writer.write(receipt != nil)
    receipt?.encode(into: &writer)
  }

  init(epoch: UInt64, decoding reader: inout ByteReader) throws(WireError) {
    self.epoch = epoch
    id = try MigrationID(decoding: &reader)
    lock = try DepartureLock(decoding: &reader)
    peer = try reader.readText("target's host", maximum: MigrationRequest.maximumHost)
    guard let step = Step(rawValue: try reader.read(UInt8.self, "departing step")) else {
      throw .badValue(field: "departing step")
    }
    self.step = step
    receipt = try reader.readFlag("receipt flag") ? DepartureReceipt(decoding: &reader) : nil
    // Nobody gives up a guest without the order, and the order brings the receipt.
    guard receipt != nil || step == .asking || step == .staying else {
      throw .badValue(field: "receipt flag")
    }
  }
}
