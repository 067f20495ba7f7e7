import BatonWire
import Testing

@Suite("What fuzzing found")
struct FuzzRegressionTests {
  private func hello(_ standing: Standing) -> Message {
    VMMMessage.hello(
      Hello(
        guest: "vm1", standing: standing, build: "test",
        reads: ReadableFormats(name: "test", oldest: 1, newest: 1, features: 0))
    ).encoded()
  }

  @Test("A fresh VMM's standing with a number is refused")
  func freshWithNumber() throws {
    var message = hello(.fresh)
    // Two versions of two bytes, the name's length and its three bytes, the standing's code.
    message.payload[10] = 1
    #expect(throws: WireError.badValue(field: "standing's number")) {
      try VMMMessage(decoding: message)
    }
  }

  @Test("A number from which the registry could not count on is refused")
  func numberAtTheEnd() throws {
    for standing in [Standing.running(.max), .tookBack(.max), .claiming(1 << 62 + 1)] {
      #expect(throws: WireError.badValue(field: "standing's number")) {
        try VMMMessage(decoding: hello(standing))
      }
    }
    let id = try #require(Samples.migrationID)
    let lock = try #require(Samples.lock)
    let foreign = Standing.arriving(
      Arriving(id: id, lock: lock, epoch: Standing.largestNumber / 2 + 1, peer: "north"))
    #expect(throws: WireError.badValue(field: "standing's number")) {
      try VMMMessage(decoding: hello(foreign))
    }
    let last = hello(.running(Standing.largestNumber))
    #expect(try VMMMessage(decoding: last).encoded() == last)
  }
}
