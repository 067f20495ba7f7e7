public import BatonWire

/// What the journal knows about a guest's migration to or from another host.
public struct MigrationRecord: Hashable, Sendable {
  /// How far it is. Which of these go with which phase: `leaving` with `idle`, `departing` and `departed`,
  /// `confirmed` with `departed`, `coming` with `arriving`, `came` with all that follows on a host that the guest
  /// came to.
  public enum Course: Hashable, Sendable {
    /// The guest leaves, or has left, and nobody has said yet that it runs where it went.
    case leaving(DepartureReceipt, MigrationRequest, isCancelled: Bool)
    /// It has left and runs elsewhere; the receipt is thrown away.
    case confirmed
    /// It comes. `isShown`: a receipt that fits was shown before everything was restored.
    case coming(isArrived: Bool, isShown: Bool)
    /// It came, and its receipt was shown.
    case came
  }

  public var id: MigrationID
  /// What the receipt fits.
  public var lock: DepartureLock
  /// The other host: where to as the operator named it, or where from as that host named itself.
  public var peer: String
  public var course: Course

  public init(id: MigrationID, lock: DepartureLock, peer: String, course: Course) {
    self.id = id
    self.lock = lock
    self.peer = peer
    self.course = course
  }

  /// The secret, as long as it may still be asked for.
  public var receipt: DepartureReceipt? {
    if case .leaving(let receipt, _, _) = course { return receipt }
    return nil
  }
}

extension MigrationRecord {
  func encode(into writer: inout ByteWriter) {
    id.encode(into: &writer)
    lock.encode(into: &writer)
    writer.write(peer)
    switch course {
    case .leaving(let receipt, let request, let isCancelled):
      writer.write(UInt8(1))
      receipt.encode(into: &writer)
      request.encode(into: &writer)
      writer.write(isCancelled)
    case .confirmed: writer.write(UInt8(2))
    case .coming(let isArrived, let isShown):
      writer.write(UInt8(3))
      writer.write(isArrived)
      writer.write(isShown)
    case .came: writer.write(UInt8(4))
    }
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    id = try MigrationID(decoding: &reader)
    lock = try DepartureLock(decoding: &reader)
    peer = try reader.readText("other host", maximum: MigrationRequest.maximumHost)
    switch try reader.read(UInt8.self, "migration course") {
    case 1:
      course = .leaving(
        try DepartureReceipt(decoding: &reader), try MigrationRequest(decoding: &reader),
        isCancelled: try reader.readFlag("cancelled flag"))
    case 2: course = .confirmed
    case 3:
      course = .coming(
        isArrived: try reader.readFlag("arrived flag"), isShown: try reader.readFlag("shown flag"))
    case 4: course = .came
    default: throw .badValue(field: "migration course")
    }
  }
}
