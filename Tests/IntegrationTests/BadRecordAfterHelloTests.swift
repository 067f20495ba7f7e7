import BatonWire
import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  /// A VMM that was welcomed and then says something wrong: its connection ends with a clear refusal, its guest
  /// stays its own, a bystander's guest runs on, and nothing of what it sent stays in the registry.
  @Suite("Bad input at the handoff socket after the hello")
  struct BadRecordAfterHelloTests {
    private func withOwner(_ body: (Workbench, ScriptedOwner) throws -> Void) throws {
      try Workbench.use { bench in
        try bench.startRegistry(ScriptedOwner.options)
        let registry = try #require(bench.registry)
        let console = try ConsoleReader()
        let bystander = try bench.startGuest(Scene.plan(), console: console)
        let owner = try ScriptedOwner(bench)
        try owner.comeAgain()
        let before = registry.openDescriptors
        if before == nil { print("SKIPPED: only root can count the registry's descriptors") }
        try body(bench, owner)
        try owner.expectUnchanged(bench)
        #expect(registry.isAlive)
        if let before {
          #expect(
            Wait.holds { (registry.openDescriptors ?? .max) <= before },
            "\(registry.openDescriptors ?? 0) descriptors are open in the registry, \(before) were")
        }
        #expect(try bench.guest("vm1").owner?.processId == bystander.pid)
        try Scene.expectWhole(bystander, console)
      }
    }

    @Test("every truncation of every record is refused as malformed, with and without descriptors")
    func truncations() throws {
      #expect(EveryMessage.all.allSatisfy(EveryMessage.isListed))
      #expect(Set(EveryMessage.all.map(\.type)) == Set(1...22))
      let pipe = try Pipe()
      try withOwner { _, owner in
        for message in EveryMessage.all {
          let encoded = message.encoded()
          let carried = [Int32](repeating: pipe.readEnd.number, count: encoded.descriptorCount)
          let whole = encoded.records(version: 1, sequence: owner.peer.nextSequence)[0].bytes
          for count in 1..<whole.count {
            let peer = try owner.comeAgain()
            try peer.send(raw: Array(whole[..<count]), descriptors: carried)
            #expect(try peer.refusal().refusal == .malformedRecord, "type \(message.type), \(count) bytes")
          }
          // The payload cut short under a header that says so.
          for count in 0..<encoded.payload.count {
            let short = Message(
              type: message.type, payload: Array(encoded.payload[..<count]), descriptorCount: carried.count)
            let peer = try owner.comeAgain()
            let record = short.records(version: 1, sequence: peer.nextSequence)[0]
            try peer.send(raw: record.bytes, descriptors: carried)
            #expect(
              try peer.refusal().refusal == .malformedRecord, "type \(message.type), payload of \(count)")
          }
        }
      }
    }

    @Test("a byte behind the last field of any record is refused as malformed")
    func trailingByte() throws {
      try withOwner { _, owner in
        for message in EveryMessage.all {
          var encoded = message.encoded()
          encoded.payload.append(0)
          encoded.descriptorCount = 0
          let peer = try owner.comeAgain()
          let record = encoded.records(version: 1, sequence: peer.nextSequence)[0]
          try peer.send(raw: record.bytes)
          #expect(try peer.refusal().refusal == .malformedRecord, "type \(message.type)")
        }
      }
    }

    @Test("a version other than the agreed one is refused, whatever the record is")
    func versions() throws {
      try withOwner { _, owner in
        for version: UInt16 in [0, 2, .max] {
          for message in EveryMessage.all {
            let peer = try owner.comeAgain()
            try peer.send(message, announcing: 0, version: version)
            #expect(
              try peer.refusal().refusal == .versionMismatch, "version \(version), type \(message.type)")
          }
        }
      }
    }

    @Test("a record or a message longer than the limit is refused as malformed")
    func oversize() throws {
      try withOwner { _, owner in
        for count in [RecordHeader.byteCount + RecordHeader.maximumPayload + 1, 100_000] {
          let peer = try owner.comeAgain()
          try peer.send(raw: [UInt8](repeating: 0x42, count: count))
          #expect(try peer.refusal().refusal == .malformedRecord, "\(count) bytes")
        }
        var peer = try owner.comeAgain()
        try peer.send(
          header: RecordHeader(
            version: 1, type: 2, sequence: peer.nextSequence,
            payloadByteCount: RecordHeader.maximumPayload + 1, descriptorCount: 0, isContinued: false),
          payload: 100)
        #expect(try peer.refusal().refusal == .malformedRecord)
        peer = try owner.comeAgain()
        // One record more than a message may have.
        let full = RecordHeader(
          version: 1, type: 2, sequence: peer.nextSequence, payloadByteCount: RecordHeader.maximumPayload,
          descriptorCount: 0, isContinued: true)
        for _ in 0...(Message.maximumPayload / RecordHeader.maximumPayload) {
          try peer.send(header: full, payload: RecordHeader.maximumPayload)
        }
        #expect(try peer.refusal().refusal == .malformedRecord)
      }
    }

    @Test("descriptors too few or too many, said or not, are refused as such and closed")
    func descriptors() throws {
      let pipe = try Pipe()
      let one = pipe.readEnd.number
      try withOwner { _, owner in
        for message in EveryMessage.all {
          if case .hello = message { continue }
          let right = message.descriptorCount
          // Honest about a wrong number.
          for count in [right - 1, right + message.mostContextVMs + 1, 253] where count >= 0 {
            let peer = try owner.comeAgain()
            try peer.send(
              message, announcing: count, descriptors: [Int32](repeating: one, count: count))
            #expect(
              try peer.refusal().refusal == .descriptorMismatch, "type \(message.type), \(count) came")
          }
          // Announced and missing, there and not announced.
          for (announced, count) in [(right + 1, right), (right, right + 1), (0, 253), (253, 0)] {
            let peer = try owner.comeAgain()
            try peer.send(
              message, announcing: announced, descriptors: [Int32](repeating: one, count: count))
            #expect(
              try peer.refusal().refusal == .descriptorMismatch,
              "type \(message.type), \(announced) announced, \(count) came")
          }
          let peer = try owner.comeAgain()
          try peer.send(message, announcing: 254)
          #expect(try peer.refusal().refusal == .descriptorMismatch)
        }
      }
    }

    @Test("more descriptors than a message may have are refused and closed")
    func tooManyDescriptors() throws {
      let pipe = try Pipe()
      try withOwner { _, owner in
        let peer = try owner.comeAgain()
        let most = RecordHeader.maximumDescriptors
        let full = RecordHeader(
          version: 1, type: 2, sequence: peer.nextSequence, payloadByteCount: 1, descriptorCount: most,
          isContinued: true)
        for _ in 0...(Message.maximumDescriptors / most) {
          try peer.send(
            header: full, payload: 1, descriptors: [Int32](repeating: pipe.readEnd.number, count: most))
        }
        #expect(try peer.refusal().refusal == .descriptorMismatch)
      }
    }

    @Test("a header that contradicts itself or the one before is refused as malformed")
    func headers() throws {
      try withOwner { _, owner in
        let good = VMMMessage.resumed(handoff: 1).encoded().records(version: 1, sequence: 2)[0].bytes
        // Magic, type, sequence (0, again 1, one left out), flags, reserved.
        let wrong: [(offset: Int, value: UInt8)] = [
          (0, 0), (6, 0), (6, 99), (7, 1), (8, 0), (8, 1), (8, 3), (18, 2), (19, 1), (20, 1), (23, 0xFF),
        ]
        for (offset, value) in wrong {
          var bytes = good
          bytes[offset] = value
          let peer = try owner.comeAgain()
          try peer.send(raw: bytes)
          #expect(try peer.refusal().refusal == .malformedRecord, "byte \(offset) is \(value)")
        }
        func header(_ type: UInt16, _ sequence: UInt32, _ payload: Int, continued: Bool) -> RecordHeader {
          RecordHeader(
            version: 1, type: type, sequence: sequence, payloadByteCount: payload, descriptorCount: 0,
            isContinued: continued)
        }
        // What goes on as another type, another message, or with nothing in it.
        for next in [
          header(3, 2, 8, continued: false), header(2, 3, 8, continued: false),
          header(2, 2, 0, continued: true),
        ] {
          let peer = try owner.comeAgain()
          try peer.send(header: header(2, 2, 8, continued: true), payload: 8)
          try peer.send(header: next, payload: next.payloadByteCount)
          #expect(try peer.refusal().refusal == .malformedRecord)
        }
      }
    }

    @Test("a message that is never finished means nothing when its connection ends")
    func unfinished() throws {
      let pipe = try Pipe()
      try withOwner { _, owner in
        for _ in 0..<3 {
          let peer = try owner.comeAgain()
          try peer.send(
            header: RecordHeader(
              version: 1, type: 13, sequence: peer.nextSequence, payloadByteCount: 4, descriptorCount: 2,
              isContinued: true),
            payload: 4, descriptors: [pipe.readEnd.number, pipe.readEnd.number])
        }
      }
    }

    @Test("a second hello is refused")
    func secondHello() throws {
      try withOwner { _, owner in
        let peer = try owner.comeAgain()
        try peer.send(.hello(RecordPeer.hello(owner.name, .running(owner.epoch))))
        #expect(try peer.refusal().refusal == .protocolViolation)
      }
    }

    @Test("records that have no place now, or name what never was, change nothing")
    func outOfPlace() throws {
      try withOwner { bench, owner in
        let ram = try ScriptedRAM()
        let peer = try owner.comeAgain()
        for handoff: UInt64 in [0, 1, 77, .max] {
          try peer.send(.offer(handoff: handoff, ram.manifest), descriptors: ram.descriptors)
          for message: VMMMessage in [
            .ready(handoff: handoff), .used(handoff: handoff), .resumed(handoff: handoff),
            .declined(handoff: handoff, .sourceDeclined, "no"), .ended(epoch: handoff &+ 5),
          ] { try peer.send(message) }
        }
        try peer.send(.preflightReport([]))
        #expect(try bench.client().describe(owner.name).handoffs.isEmpty)
      }
    }
  }
}
