import BatonCore
import BatonWire
import Testing

@Suite("A source") struct SourceTests {
  private func staged(_ way: Way) -> Source {
    var source = Source(way: way, epoch: 1)
    _ = source.take(.prepare(handoff: 3))
    source.offered(way: way)
    _ = source.take(.freeze(handoff: 3))
    source.froze()
    if way == .token { source.gaveUpContext() }
    source.staged(TestGuest.stage)
    return source
  }

  @Test("ignores orders about an older handoff")
  func olderHandoff() {
    var source = staged(.token)
    #expect(source.take(.takeBack(handoff: 2)) == nil)
    #expect(source.take(.prepare(handoff: 2)) == nil)
    #expect(source.take(.freeze(handoff: 2)) == nil)
  }

  @Test("is frozen only after it was offered in that attempt")
  func unoffered() {
    var source = Source(way: .none, epoch: 1)
    #expect(source.take(.prepare(handoff: 3)) == .prepare(3))
    #expect(source.take(.freeze(handoff: 3)) == nil, "nothing could be staged")
    source.offered(way: .none)
    #expect(source.take(.prepare(handoff: 4)) == .prepare(4))
    #expect(source.take(.freeze(handoff: 4)) == nil, "the offer belonged to an older attempt")
    source.offered(way: .none)
    #expect(source.take(.takeBack(handoff: 4)) == .sayResumed(4))
    #expect(source.take(.freeze(handoff: 4)) == nil, "the attempt is over")
  }

  @Test("goes the way of its last offer")
  func offeredWay() {
    var source = Source(way: .none, epoch: 1)
    _ = source.take(.prepare(handoff: 1))
    source.offered(way: .token)
    #expect(source.take(.freeze(handoff: 1)) == .freeze(1))
    source.froze()
    source.staged(TestGuest.stage)
    #expect(source.take(.takeBack(handoff: 1)) == .takeBack(1))
  }

  @Test("takes back into a VM of its own and waits for the verdict")
  func takesBack() {
    var source = staged(.token)
    #expect(source.take(.takeBack(handoff: 3)) == .takeBack(3))
    #expect(source.tookBack(true) == .tookBack(handoff: 3))
    #expect(source.standing == .tookBack(3))
    #expect(source.take(.takeBack(handoff: 3)) == .sayTookBack(3))
    #expect(source.take(.run(epoch: 1)) == nil)
    #expect(source.take(.run(epoch: 2)) == .run(epoch: 2))
    #expect(source.standing == .running(2))
  }

  @Test("that finds the baton used stays staged")
  func findsUsed() {
    var source = staged(.token)
    #expect(source.tookBack(false) == .used(handoff: 3))
    #expect(source.standing == .staged(3, TestGuest.stage))
    #expect(source.take(.run(epoch: 2)) == nil, "the context is elsewhere")
  }

  @Test("that runs already answers a repeated verdict and does not enter again")
  func repeatedVerdict() {
    var source = Source(way: .none, epoch: 4)
    #expect(source.take(.run(epoch: 4)) == .sayRunning(epoch: 4))
    #expect(source.take(.run(epoch: 3)) == nil)
    #expect(source.take(.takeBack(handoff: 0)) == .sayResumed(0))
  }

  @Test("that was released has nothing to say any more")
  func released() {
    var source = Source(way: .none, epoch: 1)
    #expect(source.take(.release(nil)) == .release(nil))
    #expect(source.standing == nil)
    #expect(source.take(.run(epoch: 9)) == nil)
  }
}

@Suite("A successor") struct SuccessorTests {
  private let manifest = Manifest(
    way: .token, vcpuCount: 1, files: [], regions: [], hasVM: false, names: [], format: TestGuest.format)

  private func claiming() -> Successor {
    var successor = Successor()
    _ = successor.take(.offered(handoff: 1, manifest, isGuestStopped: false))
    _ = successor.prepared(1)
    _ = successor.take(.claim(handoff: 1, TestGuest.stage))
    return successor
  }

  @Test("claims only what it has prepared")
  func claimsPrepared() {
    var successor = Successor()
    #expect(successor.take(.claim(handoff: 1, TestGuest.stage)) == nil)
    #expect(
      successor.take(.offered(handoff: 1, manifest, isGuestStopped: false))
        == .prepare(1, manifest, isGuestStopped: false))
    #expect(successor.prepared(1) == .ready(handoff: 1))
    #expect(successor.take(.claim(handoff: 2, TestGuest.stage)) == nil)
    #expect(successor.take(.claim(handoff: 1, TestGuest.stage)) == .claim(1, TestGuest.stage))
    #expect(successor.standing == .claiming(1))
  }

  @Test("runs by verdict only, and only what it has received")
  func runsByVerdict() {
    var successor = claiming()
    #expect(successor.take(.run(epoch: 2)) == nil)
    #expect(successor.received() == .received(handoff: 1))
    #expect(successor.standing == .received(1))
    #expect(successor.take(.run(epoch: 2)) == .run(epoch: 2, isFresh: false))
  }

  @Test("that prepared another guest's RAM does not begin afresh")
  func preparedIsNotFresh() {
    var successor = Successor()
    _ = successor.take(.offered(handoff: 1, manifest, isGuestStopped: false))
    _ = successor.prepared(1)
    #expect(successor.take(.run(epoch: 1)) == nil)
  }

  @Test("says after a reconnect whether it used the baton")
  func standsByItsRefusal() {
    var returned = claiming()
    #expect(returned.returnedBaton() == .refused(handoff: 1, used: false))
    #expect(returned.standing == .refused(1, returned: TestGuest.stage))
    var used = claiming()
    #expect(used.foundUsed() == .refused(handoff: 1, used: true))
    #expect(used.standing == .refused(1, returned: nil))
    #expect(used.take(.run(epoch: 2)) == nil)
  }
}
