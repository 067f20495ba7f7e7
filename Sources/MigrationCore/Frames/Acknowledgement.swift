import BatonWire

/// What the target has put into the guest's RAM so far.
public struct Acknowledgement: Hashable, Sendable {
  /// The last batch of which every page is in its place.
  public var sequence: UInt64
  /// Pages of all batches until then.
  public var pages: UInt64
  /// Time that the target's device (or memory) took for them, in nanoseconds.
  public var deviceNanoseconds: UInt64

  public init(sequence: UInt64, pages: UInt64, deviceNanoseconds: UInt64) {
    self.sequence = sequence
    self.pages = pages
    self.deviceNanoseconds = deviceNanoseconds
  }

  func encode(into writer: inout ByteWriter) {
    writer.write(sequence)
    writer.write(pages)
    writer.write(deviceNanoseconds)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    sequence = try reader.read(UInt64.self, "sequence")
    pages = try reader.read(UInt64.self, "pages")
    deviceNanoseconds = try reader.read(UInt64.self, "device time")
  }
}

/// What the target's end took, in nanoseconds.
public struct RestoreTimes: Hashable, Sendable {
  /// RECEIVE_FINISH; zero for a plain guest.
  public var finishNanoseconds: UInt64
  /// Putting the device state into the machine.
  public var restoreNanoseconds: UInt64

  public init(finishNanoseconds: UInt64, restoreNanoseconds: UInt64) {
    self.finishNanoseconds = finishNanoseconds
    self.restoreNanoseconds = restoreNanoseconds
  }

  func encode(into writer: inout ByteWriter) {
    writer.write(finishNanoseconds)
    writer.write(restoreNanoseconds)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    finishNanoseconds = try reader.read(UInt64.self, "finish time")
    restoreNanoseconds = try reader.read(UInt64.self, "restore time")
  }
}

/// The guest runs at the target.
public struct FirstInstruction: Hashable, Sendable {
  /// The target's epoch, newer than the source's.
  public var epoch: UInt64
  /// `CLOCK_REALTIME` of the target at the first instruction, in nanoseconds.
  public var nanoseconds: UInt64

  public init(epoch: UInt64, nanoseconds: UInt64) {
    self.epoch = epoch
    self.nanoseconds = nanoseconds
  }

  func encode(into writer: inout ByteWriter) {
    writer.write(epoch)
    writer.write(nanoseconds)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    epoch = try reader.read(UInt64.self, "epoch")
    nanoseconds = try reader.read(UInt64.self, "first instruction")
  }
}
