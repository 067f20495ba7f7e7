/*
 * What the kernel keeps: processes, references to VMs and to the guest's RAM, and where the guest's context is.
 *
 * Every process can make three VMs: VM(p, 0) before it attaches, and VM(p, h), made in prepare, to take handoff h
 * back into.
 * A holder has references; a VM whose last reference goes is destroyed, and the context or unused token in it too.
 */
#define S 0
#define A 1
#define B 2
#define NOBODY 7

/* holders of references: the three processes and */
#define HANDS  3             /* the registry's own memory: gone when the registry dies           */
#define STORE  4             /* custody in the fd store: outlives the registry                   */
#define WIRE(p) (5+(p))      /* attached to a record that the registry has not processed         */

#define BIT(x)     (1<<(x))
#define has(set,x) (((set)>>(x))&1)

#define VM(p,k)    (3*(p)+(k))
#define VMS_OF(p)  (7<<(3*(p)))
#define currentOf(p) VM(p, currentVM[p])
#define IS_VM(c)   ((c)<9)
#define HOME(c)    ((c)/3)   /* the process that made this VM */

/* the context is in a VM, or in a token, or destroyed */
#define IN_TOKEN   20
#define DESTROYED  21

short vmRefs[8];             /* by holder: one bit a VM                                          */
byte context = 0;
byte tokenVM, tokenHandoff;  /* IN_TOKEN: the VM that sent it, and the handoff                   */
byte bundle;                 /* holders of the guest's RAM and saved state                       */
byte savedFor;               /* handoff whose saved state is newer than the last guest instruction */
byte ramWriter = NOBODY;     /* who restored into guest RAM before a verdict                     */
byte executing;              /* processes inside KVM_RUN                                         */

bit alive[3];
byte hung;                   /* alive, but will never do anything again                          */
byte sentenced;              /* SIGKILL sent by the registry, not yet dead                       */
byte currentVM[3];           /* which of its VMs a process uses                                  */

#define allRefs (vmRefs[0]|vmRefs[1]|vmRefs[2]|vmRefs[3]|vmRefs[4]|vmRefs[5]|vmRefs[6]|vmRefs[7])
#define works(p) (alive[p] && !has(hung,p))
#define registryHas ((bundle & (BIT(HANDS)|BIT(STORE))) != 0)

/* After references went: destroy what nobody refers to. P4: only where the failure table allows it. */
inline collect(allowed) {
  if
  :: context!=DESTROYED && WAY!=none && IS_VM(context) && !has(allRefs,context) ->
       assert(allowed); context = DESTROYED                              /* P4 */
  :: context!=DESTROYED && WAY!=none && context==IN_TOKEN && !has(allRefs,tokenVM) ->
       assert(allowed); context = DESTROYED                              /* P4 */
  :: context!=DESTROYED && bundle==0 ->
       assert(allowed); context = DESTROYED                              /* P4 */
  :: else
  fi
}

/* LOCAL_SEND: the context leaves the VM, the token stays in the process until `staged` is sent. */
inline localSend(p, h) {
  if
  :: WAY==token ->
       assert(context==currentOf(p));                                    /* P7 */
       context = IN_TOKEN; tokenVM = currentOf(p); tokenHandoff = h
  :: else
  fi
}

/* LOCAL_RECEIVE or MOVE into VM(p, k): the first one wins. The result is in `done`. */
inline receive(p, h, k) {
  done = 0;
  if
  :: WAY==token && context==IN_TOKEN && tokenHandoff==(h) -> context = VM(p, k); done = 1
  :: WAY==move && IS_VM(context) && context!=VM(p, k) && has(vmRefs[p],context) ->
       assert(!has(executing,HOME(context)));                            /* P7 */
       context = VM(p, k); done = 1
  :: WAY==none && context!=DESTROYED -> done = 1
  :: else
  fi
}

/* KVM_RUN */
inline enterGuest(p) {
  printf("  %d enters the guest, epoch %d\n", p, itsEpoch[p]);
  assert((executing & ~BIT(p)) == 0);                                    /* P1 */
  assert(owner==p && phase==idle);                                       /* P2 */
  assert(WAY==none || context==currentOf(p) ||                           /* P7 */
         (WAY==token && context==IN_TOKEN && tokenVM==currentOf(p)));    /* P7 */
  assert(context!=DESTROYED);                                            /* P7 */
  executing = executing | BIT(p)
}
/* the first entry after saved state was restored */
inline enterRestored(p) {
  assert(savedFor==itsHandoff[p]);                                       /* P6 */
  assert(ramWriter==NOBODY || ramWriter==p);                             /* P6: RAM as the state was saved with */
  enterGuest(p); savedFor = 0; ramWriter = NOBODY
}
/* going on in place: nothing was staged */
inline goOn(p) { enterGuest(p); savedFor = 0; stance[p] = running }

inline die(p, allowed) {
  alive[p] = 0; executing = executing & ~BIT(p); vmRefs[p] = 0; bundle = bundle & ~BIT(p);
  batonWith = batonWith & ~BIT(p); hung = hung & ~BIT(p); sentenced = sentenced & ~BIT(p);
  stance[p] = out; itsHandoff[p] = 0; itsEpoch[p] = 0; connected[p] = 0; heard = heard & ~BIT(p);
  dropFromRegistry(p);
  collect(allowed)
}
