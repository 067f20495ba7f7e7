import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel
import Testing

/// A caller that speaks the records itself, rightly or wrongly.
struct RawCaller: ~Copyable {
  let socket: SeqpacketSocket

  init(_ model: RunningModel) throws {
    socket = try SeqpacketSocket.connect(path: model.path)
  }

  func send(_ record: [UInt8], descriptors: [Int32] = []) throws {
    try socket.send(record, descriptors: descriptors)
  }

  /// The next record, or nil at the end of the connection.
  func receive() throws -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: ModelWire.maximumByteCount)
    guard let record = try socket.receive(into: &buffer) else { return nil }
    return Array(buffer[..<record.byteCount])
  }

  /// A record of a kind with a body of zeros.
  static func record(_ kind: UInt32, byteCount: Int) -> [UInt8] {
    var record = [UInt8](repeating: 0, count: byteCount)
    var span = record.mutableSpan
    ModelWire.storeHeader(.makeMachine, byteCount: byteCount, into: &span)
    span.store(kind, at: ModelWire.kindOffset)
    return record
  }

  /// A whole request, all of whose memory is sent ahead.
  static func request(
    _ id: SEVCommandID, addressSpace: UInt64 = 1, flags: UInt32 = ModelWire.RequestField.allAccessible,
    parameters: [UInt8] = []
  ) -> [UInt8] {
    var record = record(
      ModelWire.Kind.memoryEncryptOperation.rawValue, byteCount: ModelWire.RequestField.byteCount)
    var span = record.mutableSpan
    span.store(addressSpace, at: ModelWire.RequestField.addressSpace)
    span.store(0x1000 as UInt64, at: ModelWire.RequestField.argument)
    span.store(UInt64.max, at: ModelWire.RequestField.lockablePages)
    span.store(flags, at: ModelWire.RequestField.flags)
    span.store(UInt32(id.parameterByteCount), at: ModelWire.RequestField.parameterByteCount)
    span.store(0x2000 as UInt64, at: ModelWire.RequestField.parameterAddress)
    let block = SEVCommandBlock(id: id.rawValue, data: 0x2000).bytes
    for (index, byte) in block.enumerated() { span[ModelWire.RequestField.argumentBytes + index] = byte }
    for (index, byte) in parameters.enumerated() {
      span[ModelWire.RequestField.parameterBytes + index] = byte
    }
    return record
  }

  /// KVM_ENABLE_CAP of a move, whose source goes along under a number of its own.
  static func move(attached number: Int32, flags: UInt32 = ModelWire.RequestField.hasAttached) -> [UInt8] {
    var record = record(
      ModelWire.Kind.enableCapability.rawValue, byteCount: ModelWire.RequestField.byteCount)
    var span = record.mutableSpan
    span.store(1 as UInt64, at: ModelWire.RequestField.addressSpace)
    span.store(0x1000 as UInt64, at: ModelWire.RequestField.argument)
    span.store(flags | ModelWire.RequestField.argumentReadable, at: ModelWire.RequestField.flags)
    span.store(UInt32(bitPattern: number), at: ModelWire.RequestField.attachedNumber)
    let argument = EnableCapability(capability: 206, argument: UInt64(UInt32(bitPattern: number))).bytes
    for (index, byte) in argument.enumerated() { span[ModelWire.RequestField.argumentBytes + index] = byte }
    return record
  }

  /// A call of the model's in address space 1.
  static func call(
    _ operation: UInt32, arguments: [UInt64] = [], payload: [UInt8] = []
  ) -> [UInt8] {
    var record = record(
      ModelWire.Kind.call.rawValue, byteCount: ModelWire.Call.bytes + payload.count)
    var span = record.mutableSpan
    span.store(1 as UInt64, at: ModelWire.Call.addressSpace)
    span.store(operation, at: ModelWire.Call.operation)
    for (index, argument) in arguments.enumerated() {
      span.store(argument, at: ModelWire.Call.arguments + 8 * index)
    }
    for (index, byte) in payload.enumerated() { span[ModelWire.Call.bytes + index] = byte }
    return record
  }

  /// Makes a VM in address space 1.
  func makeMachine() throws -> OwnedDescriptor {
    var record = Self.record(ModelWire.Kind.makeMachine.rawValue, byteCount: ModelWire.Make.byteCount)
    record[ModelWire.Make.addressSpace] = 1
    try send(record)
    var buffer = [UInt8](repeating: 0, count: ModelWire.maximumByteCount)
    guard let reply = try socket.receive(into: &buffer) else { throw SystemError(.recvmsg, code: EPIPE) }
    var descriptors = reply.takeDescriptors()
    guard let machine = descriptors.popFirst() else { throw SystemError(.recvmsg, code: ENOMSG) }
    return machine
  }

  /// Makes a request and returns its errno and record; a question is not answered.
  func run(_ request: [UInt8], on machine: borrowing OwnedDescriptor) throws -> (
    error: Int32, record: [UInt8]
  )? {
    try send(request, descriptors: [machine.number])
    guard let reply = try receive() else { return nil }
    return (Int32(reply.span.uint32(at: ModelWire.Finished.error)), reply)
  }
}

extension OverTheSocket {
  @Suite("The model's server")
  struct ProtocolTests {
    @Test(
      "closes the connection of a garbage record and serves the others",
      arguments: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    func garbage(variant: Int) throws {
      let model = try RunningModel()
      let good = try RawCaller(model)
      let machine = try good.makeMachine()
      let bad = try RawCaller(model)
      let header = ModelWire.headerByteCount
      let whole = RawCaller.request(.initialize)
      switch variant {
      case 0: try bad.send([0])
      case 1: try bad.send([UInt8](repeating: 0xFF, count: 4000))
      case 2: try bad.send([UInt8](repeating: 0, count: ModelWire.maximumByteCount + 1))
      case 3: try bad.send(RawCaller.record(0x81, byteCount: header))
      case 4: try bad.send(RawCaller.record(99, byteCount: header))
      case 5: try bad.send(RawCaller.record(6, byteCount: 24))
      case 6: try bad.send(RawCaller.record(1, byteCount: header))
      case 7: try bad.send(whole)  // without the VM
      case 8: try bad.send(whole, descriptors: [machine.number, machine.number])
      case 9:
        var wrong = whole
        wrong[ModelWire.RequestField.parameterByteCount] = 73
        try bad.send(wrong, descriptors: [machine.number])
      case 10:
        var wrong = whole
        wrong[4] = 9  // version
        try bad.send(wrong, descriptors: [machine.number])
      default: try bad.send(Array(whole.dropLast()), descriptors: [machine.number])
      }
      let reply = try bad.receive()
      #expect(reply == nil)
      let initialized = try good.run(whole, on: machine)
      #expect(initialized?.error == 0)
    }

    @Test("closes the connection of a call or a request for a descriptor that makes no sense")
    func garbageCalls() throws {
      let model = try RunningModel()
      let good = try RawCaller(model)
      let machine = try good.makeMachine()
      let header = [UInt8](repeating: 0, count: ModelWire.Piece.bytes)
      var long = header
      long[ModelWire.Piece.count] = 16
      let guestAccess = ModelWire.Operation.guestAccess.rawValue
      let nonsense: [([UInt8], [Int32])] = [
        (RawCaller.call(99), []),
        (RawCaller.call(ModelWire.Operation.checkUse.rawValue), []),
        (RawCaller.call(ModelWire.Operation.checkRun.rawValue), [machine.number]),
        (RawCaller.call(ModelWire.Operation.describe.rawValue), [machine.number, machine.number]),
        (RawCaller.call(guestAccess, arguments: [2, 0]), [machine.number]),
        (RawCaller.call(guestAccess, arguments: [0, 1]), [machine.number]),
        (RawCaller.call(guestAccess, arguments: [0, 1], payload: long), [machine.number]),
        (RawCaller.call(guestAccess, arguments: [0, 0], payload: header), [machine.number]),
        (RawCaller.call(guestAccess, arguments: [0, .max], payload: header), [machine.number]),
        (Array(RawCaller.call(0).dropLast()), []),
        (RawCaller.record(ModelWire.Kind.makeVCPU.rawValue, byteCount: ModelWire.Make.byteCount), []),
        (
          RawCaller.record(ModelWire.Kind.makeMachine.rawValue, byteCount: ModelWire.Make.byteCount),
          [machine.number]
        ),
        (RawCaller.move(attached: 7), [machine.number]),
        (RawCaller.move(attached: 7, flags: 0), [machine.number, machine.number]),
        (RawCaller.record(ModelWire.Kind.result.rawValue, byteCount: ModelWire.Result.bytes), []),
      ]
      for (record, descriptors) in nonsense {
        let bad = try RawCaller(model)
        try bad.send(record, descriptors: descriptors)
        let reply = try bad.receive()
        #expect(reply == nil)
      }
      let initialized = try good.run(RawCaller.request(.initialize), on: machine)
      #expect(initialized?.error == 0)
    }

    @Test("survives records of chance, with and without descriptors, and goes on to serve")
    func noise() throws {
      let model = try RunningModel()
      let good = try RawCaller(model)
      let machine = try good.makeMachine()
      var generator = SeededGenerator(seed: 20211)
      for _ in 0..<3000 {
        let bad = try RawCaller(model)
        let kind = [1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13].randomElement(using: &generator) ?? 3
        let lengths = [16, 32, 80, 120, 240, 300]
        var record = RawCaller.record(
          UInt32(kind), byteCount: lengths.randomElement(using: &generator) ?? 240)
        for index in ModelWire.headerByteCount..<record.count where Bool.random(using: &generator) {
          record[index] = UInt8.random(in: 0...255, using: &generator)
        }
        let count = Int.random(in: 0...2, using: &generator)
        try bad.send(record, descriptors: [Int32](repeating: machine.number, count: count))
        // An answer, a question or the end of the connection, but never silence.
        _ = try bad.receive()
      }
      let initialized = try good.run(RawCaller.request(.initialize, addressSpace: 1), on: machine)
      #expect(initialized != nil)
    }

    @Test("asks for what was not sent ahead, and answers the same")
    func nothingSentAhead() throws {
      let model = try RunningModel()
      let caller = try RawCaller(model)
      let machine = try caller.makeMachine()
      let question = try #require(try caller.run(RawCaller.request(.initialize, flags: 0), on: machine))
      #expect(question.record.span.uint32(at: ModelWire.kindOffset) == ModelWire.Kind.question.rawValue)
      var answer = RawCaller.record(
        ModelWire.Kind.answer.rawValue, byteCount: ModelWire.Answer.bytes + SEVCommandBlock.byteCount)
      answer[ModelWire.Answer.succeeded] = 1
      // The block of INIT is zeros. The next question is the write of the block.
      try caller.send(answer)
      let write = try #require(try caller.receive())
      #expect(write.span.uint32(at: ModelWire.kindOffset) == ModelWire.Kind.question.rawValue)
      #expect(write.span.uint32(at: ModelWire.Ask.question) == ModelWire.Question.write.rawValue)
      answer = RawCaller.record(ModelWire.Kind.answer.rawValue, byteCount: ModelWire.Answer.bytes)
      answer[ModelWire.Answer.succeeded] = 1
      try caller.send(answer)
      let finished = try #require(try caller.receive())
      #expect(finished.span.uint32(at: ModelWire.Finished.error) == 0)
      #expect(finished.span.uint32(at: ModelWire.Finished.flags) == 0)
    }

    @Test("survives every truncation of a request and a change of every byte of one")
    func mutations() throws {
      let model = try RunningModel()
      let good = try RawCaller(model)
      let machine = try good.makeMachine()
      let request = RawCaller.request(.localReceive, parameters: [UInt8](repeating: 7, count: 16))
      for length in 1..<request.count {
        let bad = try RawCaller(model)
        try bad.send(Array(request.prefix(length)), descriptors: [machine.number])
        let reply = try bad.receive()
        #expect(reply == nil)
      }
      for index in request.indices {
        let bad = try RawCaller(model)
        var changed = request
        changed[index] ^= 0xFF
        try bad.send(changed, descriptors: [machine.number])
        // An answer, a question or the end of the connection, but never silence.
        _ = try bad.receive()
      }
      let initialized = try good.run(RawCaller.request(.initialize), on: machine)
      #expect(initialized?.error == 0)
    }

    @Test("answers LOCAL_SEND and LOCAL_RECEIVE with one record each")
    func oneRoundTrip() throws {
      let model = try RunningModel()
      let caller = try RawCaller(model)
      let source = try caller.makeMachine()
      let target = try caller.makeMachine()
      for machine in [source.number, target.number] {
        try caller.send(RawCaller.request(.initialize), descriptors: [machine])
        _ = try caller.receive()
      }
      let sent = try #require(try caller.run(RawCaller.request(.localSend), on: source))
      #expect(sent.record.span.uint32(at: ModelWire.kindOffset) == ModelWire.Kind.finished.rawValue)
      #expect(sent.error == 0)
      let token = Array(sent.record[ModelWire.Finished.parameterBytes...].prefix(8))
      let received = try #require(
        try caller.run(RawCaller.request(.localReceive, parameters: token), on: target))
      #expect(received.record.span.uint32(at: ModelWire.kindOffset) == ModelWire.Kind.finished.rawValue)
      #expect(received.error == 0)
    }

    @Test("takes a send back whose token could not be delivered, and a receive whose handle could not")
    func undeliverable() throws {
      let model = try RunningModel()
      let caller = try RawCaller(model)
      let source = try caller.makeMachine()
      let target = try caller.makeMachine()
      for machine in [source.number, target.number] {
        try caller.send(RawCaller.request(.initialize), descriptors: [machine])
        _ = try caller.receive()
      }
      let undeliverable = RawCaller.record(
        ModelWire.Kind.undeliverable.rawValue, byteCount: ModelWire.headerByteCount)

      var sent = try #require(try caller.run(RawCaller.request(.localSend), on: source))
      try caller.send(undeliverable)
      let answer = try #require(try caller.receive())
      #expect(answer.span.uint32(at: ModelWire.Finished.error) == UInt32(EFAULT))
      sent = try #require(try caller.run(RawCaller.request(.localSend), on: source))
      #expect(sent.error == 0)

      let token = Array(sent.record[ModelWire.Finished.parameterBytes...].prefix(8))
      let receive = RawCaller.request(.localReceive, parameters: token)
      var received = try #require(try caller.run(receive, on: target))
      #expect(received.error == 0)
      try caller.send(undeliverable)
      _ = try caller.receive()
      received = try #require(try caller.run(receive, on: target))
      #expect(received.error == 0)
      // A second time there is nothing to take back that was not answered for.
      try caller.send(undeliverable)
      _ = try caller.receive()
      try caller.send(undeliverable)
      let last = try #require(try caller.receive())
      #expect(last.span.uint32(at: ModelWire.Finished.error) == UInt32(EFAULT))
    }

    @Test("refuses another address space with EIO")
    func foreignAddressSpace() throws {
      let model = try RunningModel()
      let caller = try RawCaller(model)
      let machine = try caller.makeMachine()
      let foreign = try caller.run(RawCaller.request(.initialize, addressSpace: 2), on: machine)
      #expect(foreign?.error == EIO)
      let own = try caller.run(RawCaller.request(.initialize), on: machine)
      #expect(own?.error == 0)
    }

    @Test(
      "counts pinned pages against the caller's limit, unless it was told not to", arguments: [true, false])
    func memoryLockLimit(minds: Bool) throws {
      let model = try RunningModel(mindsMemoryLockLimit: minds)
      let caller = try RawCaller(model)
      let machine = try caller.makeMachine()
      _ = try caller.run(RawCaller.request(.initialize), on: machine)
      var record = RawCaller.record(
        ModelWire.Kind.registerRegion.rawValue, byteCount: ModelWire.RequestField.byteCount)
      var span = record.mutableSpan
      span.store(1 as UInt64, at: ModelWire.RequestField.addressSpace)
      span.store(1 as UInt64, at: ModelWire.RequestField.lockablePages)
      span.store(ModelWire.RequestField.argumentReadable, at: ModelWire.RequestField.flags)
      span.store(0x10000 as UInt64, at: ModelWire.RequestField.argumentBytes)
      span.store(0x2000 as UInt64, at: ModelWire.RequestField.argumentBytes + 8)
      let reply = try #require(try caller.run(record, on: machine))
      let kind = reply.record.span.uint32(at: ModelWire.kindOffset)
      if minds {
        #expect(kind == ModelWire.Kind.finished.rawValue)
        #expect(reply.error == ENOMEM)
      } else {
        #expect(kind == ModelWire.Kind.question.rawValue)
        #expect(
          reply.record.span.uint32(at: ModelWire.Ask.question) == ModelWire.Question.pinForWriting.rawValue)
      }
    }

    @Test("lets requests on one VM wait for each other, and those on others pass")
    func serialisation() throws {
      let model = try RunningModel()
      let slow = try RawCaller(model)
      let waiting = try RawCaller(model)
      let vanishing = try RawCaller(model)
      let machine = try slow.makeMachine()
      let other = try slow.makeMachine()
      _ = try slow.run(RawCaller.request(.initialize), on: machine)

      // GUEST_STATUS asks for the firmware descriptor, and is left without an answer.
      let question = try #require(try slow.run(RawCaller.request(.guestStatus), on: machine))
      #expect(question.record.span.uint32(at: ModelWire.kindOffset) == ModelWire.Kind.question.rawValue)
      try vanishing.send(RawCaller.request(.localSend), descriptors: [machine.number])
      try waiting.send(RawCaller.request(.localSend), descriptors: [machine.number])
      let passing = try RawCaller(model)
      let passed = try passing.run(RawCaller.request(.initialize), on: other)
      #expect(passed?.error == 0)
      vanishing.socket.shutdown()
      // The caller that was asked goes away too: its request ends, and the one that waited goes on.
      slow.socket.shutdown()
      let reply = try #require(try waiting.receive())
      #expect(reply.span.uint32(at: ModelWire.Finished.error) == 0)
    }

    @Test("keeps a VM as long as a request on it waits for its caller")
    func closedDuringRequest() throws {
      let model = try RunningModel(ModelConfiguration(asidCount: 1))
      let caller = try RawCaller(model)
      let machine = try caller.makeMachine()
      _ = try caller.run(RawCaller.request(.initialize), on: machine)
      _ = try caller.run(RawCaller.request(.guestStatus), on: machine)
      #expect(close(machine.release()) == 0)
      let other = try RawCaller(model)
      let next = try other.makeMachine()
      let busy = try other.run(RawCaller.request(.initialize), on: next)
      #expect(busy?.error == EBUSY)
      try caller.send(RawCaller.record(ModelWire.Kind.answer.rawValue, byteCount: ModelWire.Answer.bytes))
      let reply = try #require(try caller.receive())
      #expect(reply.span.uint32(at: ModelWire.Finished.error) == UInt32(EBADF))
      let free = try other.run(RawCaller.request(.initialize), on: next)
      #expect(free?.error == 0)
    }
  }
}
