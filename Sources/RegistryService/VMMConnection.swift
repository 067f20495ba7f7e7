import BatonCore
import BatonWire
import LinuxOS
import Systemd

/// One connection of a VMM: records in, records out, nothing decided.
final class VMMConnection {
  let peer: PeerIdentity
  let process: WatchedProcess
  /// Set by the hello.
  var guest: GuestName?
  var helloTimer: LoopTimer?
  /// After a refusal only the peer's end is waited for.
  private(set) var isClosing = false
  private(set) var isClosed = false
  var source: EventSource?

  private let socket: SeqpacketSocket
  private var assembler = MessageAssembler()
  private var incoming = DescriptorList()
  private(set) var agreedVersion = ProtocolVersion.spoken.newest
  private var sequence: UInt32 = 0
  private var queue: [QueuedRecord] = []
  private var queuedBytes = 0

  private struct QueuedRecord {
    let bytes: [UInt8]
    let descriptors: [Int32]
    /// Keeps the descriptors open until the record has left.
    let owners: [DescriptorBundle]
  }

  private static let maximumQueuedRecords = 256
  private static let maximumQueuedBytes = 4 << 20

  init(socket: consuming SeqpacketSocket, peer: PeerIdentity, process: WatchedProcess) {
    self.socket = socket
    self.peer = peer
    self.process = process
  }

  var descriptor: Int32 { socket.descriptor.number }
  var hasSaidHello: Bool { guest != nil }
  /// The version in the header of the first record: one that its sender speaks.
  private(set) var firstRecordVersion: UInt16?

  // MARK: Receiving

  /// What a message and its descriptors are handed to.
  typealias Receiver = (Message, consuming DescriptorList) -> Void

  enum Outcome {
    /// Something was taken; there may be more.
    case taken
    case nothing
    case end
    case malformed(Refusal, String)
  }

  /// Takes one record; a complete message goes to `receiver`.
  func receive(into buffer: inout [UInt8], _ receiver: Receiver) -> Outcome {
    guard !isClosed else { return .nothing }
    do throws(ReceiveFailure) {
      guard let record = try socket.receive(into: &buffer, wait: false) else { return .end }
      let bytes = Array(buffer[..<record.byteCount])
      let descriptors = record.takeDescriptors()
      if isClosing { return .taken }
      return take(bytes, descriptors, receiver)
    } catch {
      switch error {
      case .system(let failure):
        return failure.wouldBlock ? .nothing : .end
      case .recordTruncated:
        return .malformed(
          .malformedRecord,
          "a record is longer than \(RecordHeader.byteCount + RecordHeader.maximumPayload) bytes")
      case .descriptorsTruncated:
        return .malformed(.quotaExceeded, "the registry cannot hold more descriptors")
      }
    }
  }

  private func take(
    _ bytes: [UInt8], _ descriptors: consuming DescriptorList, _ receiver: Receiver
  ) -> Outcome {
    do throws(WireError) {
      if firstRecordVersion == nil {
        var reader = ByteReader(bytes)
        firstRecordVersion = try RecordHeader(decoding: &reader).version
      }
      let count = descriptors.count
      guard let message = try assembler.take(bytes, descriptorCount: count) else {
        incoming.append(contentsOf: descriptors)
        return .taken
      }
      if incoming.isEmpty {
        receiver(message, descriptors)
      } else {
        var all = DescriptorList()
        swap(&all, &incoming)
        all.append(contentsOf: descriptors)
        receiver(message, all)
      }
      return .taken
    } catch {
      return .malformed(error.refusal, error.description)
    }
  }

  /// Both sides speak this version from now on.
  func agree(on version: UInt16) {
    agreedVersion = version
    assembler.version = version
  }

  // MARK: Sending

  /// Sends a message, or queues what the peer does not take now.
  ///
  /// - Parameters:
  ///   - owners: Whose descriptors go along, in this order; kept open as long as a record waits.
  ///   - contextVMs: How many of them, the last ones, are VMs beyond those that belong to the message.
  /// - Returns: False when the connection is of no more use: the peer is gone or does not read.
  func send(
    _ message: RegistryMessage, of owners: [DescriptorBundle] = [], contextVMs: Int = 0
  ) -> Bool {
    guard !isClosed, !isClosing else { return !isClosed }
    let descriptors = owners.flatMap(\.numbers)
    sequence &+= 1
    for record in message.encoded(contextVMs: contextVMs).records(version: agreedVersion, sequence: sequence)
    {
      let queued = QueuedRecord(
        bytes: record.bytes, descriptors: Array(descriptors[record.descriptors]), owners: owners)
      if queue.isEmpty {
        do throws(SystemError) {
          try socket.send(queued.bytes, descriptors: queued.descriptors, wait: false)
          continue
        } catch {
          guard error.wouldBlock else { return false }
        }
      }
      guard queue.count < Self.maximumQueuedRecords,
        queuedBytes + queued.bytes.count <= Self.maximumQueuedBytes
      else { return false }
      queue.append(queued)
      queuedBytes += queued.bytes.count
      source?.setInterest(.readableOrWritable)
    }
    return true
  }

  /// Sends what waits, as far as the peer takes it.
  ///
  /// - Returns: False when the peer is gone.
  func flush() -> Bool {
    while let record = queue.first {
      do throws(SystemError) {
        try socket.send(record.bytes, descriptors: record.descriptors, wait: false)
      } catch { return error.wouldBlock }
      queuedBytes -= record.bytes.count
      queue.removeFirst()
    }
    source?.setInterest(.readable)
    return true
  }

  /// Says why, and then waits for the peer's end only: closing with unread records would lose the answer.
  func refuse(_ refusal: Refusal, _ sentence: String) {
    guard !isClosing, !isClosed else { return }
    var text = sentence
    while text.utf8.count > 1024 { text.removeLast() }
    _ = send(.refusal(refusal, text))
    helloTimer?.cancel()
    isClosing = true
  }

  /// Ends the connection at once.
  func close() {
    guard !isClosed else { return }
    isClosed = true
    source = nil
    helloTimer?.cancel()
    helloTimer = nil
    queue = []
    var none = DescriptorList()
    swap(&none, &incoming)
    socket.shutdown()
  }
}
