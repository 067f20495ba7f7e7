import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel
import Testing

extension OverTheSocket {
  /// The model trusts nobody: whatever a caller says of its memory, others are served as before. (A trap in the
  /// model's thread ends this process.)
  @Suite("A caller that lies about its memory")
  struct LyingCallerTests {
    private static let extremes: [UInt64] = [
      0, 1, 16, 4080, 4096, 1 << 31, 1 << 47, 1 << 63, .max - 4095, .max - 16, .max - 1, .max,
    ]

    private struct Liar: ~Copyable {
      let caller: RawCaller
      var generator: SeededGenerator

      mutating func number() -> UInt64 {
        switch Int.random(in: 0...3, using: &generator) {
        case 0: LyingCallerTests.extremes.randomElement(using: &generator) ?? 0
        case 1: UInt64.random(in: 0...0x5000, using: &generator)
        case 2: UInt64.random(in: 0...512, using: &generator) * 16
        default: .random(in: .min ... .max, using: &generator)
        }
      }

      mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count {
          let word = number()
          for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * shift))) }
        }
        return Array(bytes.prefix(count))
      }

      mutating func request() -> [UInt8] {
        typealias Field = ModelWire.RequestField
        let kinds = ModelWire.Request.allCases
        let kind = kinds.randomElement(using: &generator) ?? .memoryEncryptOperation
        var record = RawCaller.record(kind.kind.rawValue, byteCount: Field.byteCount)
        let body = bytes(record.count - ModelWire.headerByteCount)
        record.replaceSubrange(ModelWire.headerByteCount..., with: body)
        let parameterByteCount = UInt32.random(in: 0...72, using: &generator)
        let flags = UInt32.random(in: 0...15, using: &generator)
        let (argument, parameters, lockable) = (number(), number(), number())
        let id = UInt32.random(in: 0...24, using: &generator)
        let (guest, length) = (number(), number())
        var span = record.mutableSpan
        span.store(1 as UInt64, at: Field.addressSpace)
        span.store(argument, at: Field.argument)
        span.store(lockable, at: Field.lockablePages)
        span.store(flags | Field.argumentReadable, at: Field.flags)
        span.store(parameterByteCount, at: Field.parameterByteCount)
        span.store(parameters, at: Field.parameterAddress)
        // Commands that exist, with a struct somewhere and buffers anywhere.
        span.store(id, at: Field.argumentBytes)
        span.store(guest, at: Field.parameterBytes)
        span.store(UInt32(truncatingIfNeeded: length), at: Field.parameterBytes + 8)
        return record
      }

      /// What an honest caller could say, but is not true.
      mutating func answer(_ question: [UInt8], firmware: Int32, machine: Int32) -> ([UInt8], [Int32]) {
        let span = question.span
        let count = span.uint64(at: ModelWire.Ask.count)
        let address = span.uint64(at: ModelWire.Ask.address)
        var payload: [UInt8] = []
        var descriptors: [Int32] = []
        var succeeded = Int.random(in: 0...9, using: &generator) > 0
        switch ModelWire.Question(rawValue: span.uint32(at: ModelWire.Ask.question)) {
        case .read where succeeded: payload = bytes(Int(count))
        case .findFirmware where succeeded:
          descriptors = [[firmware, machine].randomElement(using: &generator) ?? firmware]
        case .findMachine where succeeded:
          descriptors = [[firmware, machine].randomElement(using: &generator) ?? machine]
        case .identifyPages where succeeded:
          let (end, wraps) = address.addingReportingOverflow(count)
          if wraps || count == 0 {
            succeeded = false
          } else {
            let pages = (end - 1) / 4096 - address / 4096 + 1
            payload = bytes(Int(min(pages, 2048)) * ModelWire.PageField.byteCount)
          }
        case .read, .write, .pinForReading, .pinForWriting, .findFirmware, .findMachine, .identifyPages, nil:
          break
        }
        var record = RawCaller.record(
          ModelWire.Kind.answer.rawValue, byteCount: ModelWire.Answer.bytes + payload.count)
        record.replaceSubrange(ModelWire.Answer.bytes..., with: payload)
        record[ModelWire.Answer.succeeded] = succeeded ? 1 : 0
        return (record, descriptors)
      }
    }

    @Test("harms nobody", arguments: KernelProfile.allCases, [false, true])
    func lies(profile: KernelProfile, ciphertext: Bool) throws {
      let model = try RunningModel(
        ModelConfiguration(
          profile: profile, encryptedStateASIDCount: 8, firmwareVMSA: true, ciphertext: ciphertext))
      var honest = try model.openSession()
      let firmware = try honest.openFirmware()
      let guest = try honest.makeLaunched(firmware)
      var generator = SeededGenerator(seed: 7)
      for _ in 0..<15 {
        let caller = try RawCaller(model)
        let machine = try caller.makeMachine()
        var liar = Liar(caller: caller, generator: generator)
        let id: SEVCommandID = Bool.random(using: &generator) ? .initialize : .esInitialize
        _ = try liar.caller.run(RawCaller.request(id), on: machine)
        for _ in 0..<60 {
          let request = liar.request()
          let isDevice =
            request.span.uint32(at: ModelWire.kindOffset) == ModelWire.Kind.firmwareCommand.rawValue
          try liar.caller.send(request, descriptors: [isDevice ? firmware.number : machine.number])
          while let reply = try liar.caller.receive() {
            guard reply.span.uint32(at: ModelWire.kindOffset) == ModelWire.Kind.question.rawValue else {
              break
            }
            let (answer, descriptors) = liar.answer(
              reply, firmware: firmware.number, machine: machine.number)
            try liar.caller.send(answer, descriptors: descriptors)
          }
        }
        generator = liar.generator
      }
      // The liars' machines are gone, and so are their guests.
      let status = try honest.guestStatus(guest)
      #expect(status.state == GuestState.running.rawValue)
      #expect(try honest.platformStatus(firmware).guestCount == 1)
    }
  }
}
