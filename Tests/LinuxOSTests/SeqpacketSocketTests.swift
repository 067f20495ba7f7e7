import LinuxOS
import Testing

@Suite("A seqpacket socket")
struct SeqpacketSocketTests {
  private func memfds(_ count: Int) throws -> DescriptorList {
    var list = DescriptorList()
    for index in 0..<count {
      list.append(try Memfd.create(name: "test-\(index)", byteCount: UInt64(index + 1) * 4096))
    }
    return list
  }

  @Test(
    "delivers a record with 0, 1 and 253 descriptors, in order and close-on-exec", arguments: [0, 1, 253])
  func descriptors(count: Int) throws {
    let ends = try SeqpacketSocket.pair()
    let sent = try memfds(count)
    try ends.first.send([1, 2, 3], descriptors: sent.borrowedNumbers)
    var buffer = [UInt8](repeating: 0, count: 64)
    let received = try ends.second.receive(into: &buffer)
    switch consume received {
    case .some(let record):
      #expect(record.byteCount == 3)
      let list = record.takeDescriptors()
      #expect(list.count == count)
      for index in 0..<count {
        #expect(try list.identity(at: index) == sent.identity(at: index))
        let flags = try Files.open("/proc/self/fdinfo/\(list.borrowedNumbers[index])", .readOnly)
          .read(maximum: 200)
        // O_CLOEXEC is the octal digit 02000000 of the flags line.
        #expect(String(decoding: flags, as: UTF8.self).contains("flags:\t02"))
      }
    case .none: Issue.record("nothing came")
    }
  }

  @Test("refuses 254 descriptors at once")
  func tooMany() throws {
    let ends = try SeqpacketSocket.pair()
    let list = try memfds(1)
    let numbers = [Int32](repeating: list.borrowedNumbers[0], count: 254)
    #expect(throws: SystemError.self) { try ends.first.send([1], descriptors: numbers) }
  }

  @Test("keeps records apart and their descriptors with them")
  func boundaries() throws {
    let ends = try SeqpacketSocket.pair()
    let list = try memfds(1)
    try ends.first.send([1])
    try ends.first.send([2, 2], descriptors: list.borrowedNumbers)
    try ends.first.send([3, 3, 3])
    var buffer = [UInt8](repeating: 0, count: 64)
    var seen: [[Int]] = []
    for _ in 0..<3 {
      let record = try ends.second.receive(into: &buffer)
      switch consume record {
      case .some(let record): seen.append([record.byteCount, record.takeDescriptors().count])
      case .none: break
      }
    }
    #expect(seen == [[1, 0], [2, 1], [3, 0]])
  }

  @Test("calls a record that is larger than the buffer an error and closes its descriptors")
  func truncation() throws {
    let ends = try SeqpacketSocket.pair()
    let list = try memfds(2)
    try ends.first.send([UInt8](repeating: 1, count: 100), descriptors: list.borrowedNumbers)
    var buffer = [UInt8](repeating: 0, count: 99)
    #expect(throws: ReceiveFailure.recordTruncated) { _ = try ends.second.receive(into: &buffer) == nil }
    for index in 0..<2 { #expect(openDescriptors(of: try list.identity(at: index)) == 1) }
  }

  private func openDescriptors(of file: FileIdentity) -> Int {
    (0..<1024).count { (try? FileIdentity(ofBorrowed: $0)) == file }
  }

  @Test("says that it would have to wait instead of waiting")
  func wouldBlock() throws {
    let ends = try SeqpacketSocket.pair()
    var buffer = [UInt8](repeating: 0, count: 8)
    do {
      _ = try ends.first.receive(into: &buffer, wait: false) == nil
      Issue.record("there was nothing to receive")
    } catch ReceiveFailure.system(let error) {
      #expect(error.wouldBlock)
    }
  }

  @Test("reads as ended when the peer is gone, and cannot be written to")
  func disconnection() throws {
    let ends = try SeqpacketSocket.pair()
    ends.first.shutdown()
    var buffer = [UInt8](repeating: 0, count: 8)
    let nothing = try ends.second.receive(into: &buffer) == nil
    #expect(nothing)
    #expect(throws: SystemError.self) { try ends.second.send([1]) }
  }

  @Test("knows the process at its other end")
  func peer() throws {
    let ends = try SeqpacketSocket.pair()
    let peer = try PeerIdentity(of: ends.first.descriptor)
    #expect(peer.pid == ThisProcess.pid)
    #expect(peer.uid == ThisProcess.effectiveUser)
    let pidfd = try Pidfd.peer(of: ends.first.descriptor)
    let hasExited = pidfd.hasExited()
    #expect(!hasExited)
    #expect(ProcessStartTime.of(pid: peer.pid) != nil)
  }
}

extension Optional where Wrapped: ~Copyable {
  /// Whether there is nothing, without consuming what there is.
  static func == (value: borrowing Wrapped?, _: _OptionalNilComparisonType) -> Bool {
    switch value {
    case .some: false
    case .none: true
    }
  }
}
