/* SPDX-License-Identifier: Apache-2.0

   The lab's guest: writes to memory pages in a set pattern at a set rate, and beats on COM1.

   Sector 0 loads the rest behind itself and enters 32-bit mode, without paging. Time is the ACPI
   timer (3.58 MHz, the guest's own clock: it stands still while the guest is paused). The PIT
   wakes the guest 500 times a second; on each wake it may write what the rate allows for the
   time since the last wake, but for CAP of it at most. So a guest that was held up (throttled,
   starved) loses that work, as a program would, instead of catching up later.

   On a machine of several processors the first one keeps the time and beats. On each wake it
   gives all of them an equal share of the work, and wakes the others; each sweeps a part of its
   own of the set, or hits anywhere at random. Who has not done its last share yet loses the next.

   Serial line: every 10 ms one letter, a to j in turn. Once in 100 letters a line feed, the number
   of beats and the number of pages written so far (ten decimal digits each) come before it.

   Build: as --32 guest.S -o guest.o
          ld -m elf_i386 -Ttext 0x7c00 -e start --oformat binary guest.o -o guest.bin
   lab/guests.py then writes the parameters at `parameters` (0x200 in the image). */

        .equ    LOAD_SECTORS, 8
        .equ    COM1, 0x3f8
        .equ    PM_TIMER, 0x608         /* where SeaBIOS puts it, on pc and q35 */
        .equ    PIT_DIVISOR, 2386       /* 500 Hz */
        .equ    BEAT, 35795             /* 10 ms of the ACPI timer */
        .equ    CAP, 17898              /* 5 ms */
        .equ    BASE, 0x100000          /* first page that is written to */
        .equ    IDT, 0x1000
        .equ    AP_START, 0x2000        /* where the others begin: a page of its own */
        .equ    AP_STACKS, 0x3000       /* 512 bytes for each */
        .equ    MOST, 8                 /* processors */
        .equ    APIC_EOI, 0xfee000b0
        .equ    APIC_SVR, 0xfee000f0
        .equ    APIC_ICR, 0xfee00300
        .equ    TO_OTHERS, 0xc4000      /* all but this one */
        .equ    WAKE, 0x2e              /* an interrupt that no device has */
        .equ    STARTUP_TICKS, 3579545  /* a second */
        .equ    PHASE_BYTES, 28

        .text
        .globl  start
/* ---- sector 0: load and go to 32-bit mode ------------------------------------------------ */
        .code16
start:  ljmp    $0, $1f
1:      xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $start, %sp
        movb    $0x42, %ah              /* extended read, drive still in dl */
        movw    $packet, %si
        int     $0x13
        jc      unread
        movw    $0x2401, %ax            /* A20 on, by the firmware and by port 92 */
        int     $0x15
        inb     $0x92, %al
        orb     $2, %al
        andb    $0xfe, %al
        outb    %al, $0x92
        cli
        lgdt    gdtr
        movl    %cr0, %eax
        orl     $1, %eax
        movl    %eax, %cr0
        ljmp    $8, $main
unread: movw    $unread_text, %si
2:      lodsb
        testb   %al, %al
        jz      3f
        movw    $COM1, %dx
        outb    %al, %dx
        jmp     2b
3:      hlt
        jmp     3b
unread_text:
        .asciz  "\nCANNOT READ THE BOOT DISK\n"
        .balign 4
packet: .byte   16, 0
        .word   LOAD_SECTORS, parameters, 0
        .quad   1
        .balign 8
gdt:    .quad   0
        .quad   0x00cf9a000000ffff      /* 8: code, all 4 GiB */
        .quad   0x00cf92000000ffff      /* 16: data, all 4 GiB */
gdtr:   .word   gdtr - gdt - 1
        .long   gdt
idtr:   .word   0x30 * 8 - 1
        .long   IDT
        .org    446                     /* the partition table is written by guests.py */
        .org    510
        .word   0xaa55

/* ---- sector 1: parameters ---------------------------------------------------------------- */
parameters:
        .ascii  "MPG1"
total:  .long   0                       /* pages from BASE up that get content at boot */
phases: .long   0                       /* how many phases follow */
again:  .long   0                       /* which phase follows the last one */
table:  .org    1020                    /* phases: see the names below */
others: .long   0                       /* processors beside the first */
        .equ    LENGTH, 0               /* in timer ticks; 0: for ever */
        .equ    RATE, 4                 /* pages per timer tick, in units of 2^-32 */
        .equ    FIRST, 8                /* first page of the set, from BASE */
        .equ    PAGES, 12               /* pages in the set */
        .equ    HOT, 16                 /* how many of them, the first ones, are hot */
        .equ    SHARE, 20               /* share of the writes that go there, in units of 2^-32 */
        .equ    RANDOM, 24              /* 0: in order, 1: at random */

/* ---- sector 2 on: the work --------------------------------------------------------------- */
        .code32
main:   movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $start, %esp
        cld
        movl    $IDT + 0x20 * 8, %edi   /* interrupts 0x20 to 0x2f; all lie below 64 KiB */
        movl    $16, %ecx
1:      movl    $(8 << 16) + spurious, (%edi)
        movl    $0x8e00, 4(%edi)
        addl    $8, %edi
        decl    %ecx
        jnz     1b
        movw    $tick, IDT + 0x20 * 8   /* the first is the PIT's */
        movw    $woken, IDT + WAKE * 8
        lidt    idtr
        movb    $0x11, %al              /* both PICs to 0x20, 0x28; all masked but the PIT */
        outb    %al, $0x20
        outb    %al, $0xa0
        movb    $0x20, %al
        outb    %al, $0x21
        movb    $0x28, %al
        outb    %al, $0xa1
        movb    $4, %al
        outb    %al, $0x21
        movb    $2, %al
        outb    %al, $0xa1
        movb    $1, %al
        outb    %al, $0x21
        outb    %al, $0xa1
        movb    $0xfe, %al
        outb    %al, $0x21
        movb    $0xff, %al
        outb    %al, $0xa1
        movb    $0x34, %al              /* PIT channel 0, mode 2 */
        outb    %al, $0x43
        movb    $(PIT_DIVISOR & 0xff), %al
        outb    %al, $0x40
        movb    $(PIT_DIVISOR >> 8), %al
        outb    %al, $0x40

        movl    $BASE, %edi             /* content in each page: none is a zero page */
        movl    total, %ecx
1:      movl    %edi, (%edi)
        addl    $4096, %edi
        decl    %ecx
        jnz     1b

        movl    $hello, %esi
        call    print
        sti
        call    clock                   /* the timer must run */
        movl    %eax, last
        hlt
        hlt
        hlt
        call    clock
        cmpl    %eax, last
        je      no_timer
        call    start_others
        call    clock
        movl    %eax, last
        movl    $table, %ebp
        xorl    %eax, %eax
        call    enter

wake:   hlt
        call    clock                   /* eax: ticks since the last wake */
        movl    %eax, %ecx
        subl    last, %ecx
        andl    $0xffffff, %ecx
        movl    %eax, last
        pushl   %ecx
        call    beat
        popl    %ecx
        cmpl    $0, LENGTH(%ebp)
        je      1f
        subl    %ecx, left
        jg      1f
        movl    phase, %eax             /* this phase is over */
        incl    %eax
        call    enter
1:      cmpl    $CAP, %ecx
        jbe     2f
        movl    $CAP, %ecx
2:      movl    RATE(%ebp), %eax
        mull    %ecx
        addl    %eax, fraction
        adcl    $0, %edx
        movl    %edx, %ecx              /* ecx: pages to write now */
        jecxz   wake
        xorl    %esi, %esi              /* the first one's own share is what remains */
        cmpl    %esi, others
        je      3f
        call    share
3:      call    work
        jmp     wake

/* Give each of the others its share of ecx pages, and wake them. ecx: what is left of them. */
share:  movl    %ecx, %eax
        xorl    %edx, %edx
        movl    others, %ebx
        incl    %ebx
        divl    %ebx
        movl    others, %ebx
1:      cmpl    $0, todo(, %ebx, 4)
        jne     2f                      /* it is late: lost */
        movl    %eax, todo(, %ebx, 4)
2:      subl    %eax, %ecx
        decl    %ebx
        jnz     1b
        movl    $(TO_OTHERS | WAKE), APIC_ICR
        ret

/* Processor esi writes ecx pages of phase ebp. Keeps esi, ebp. */
work:   jecxz   5f
        lock addl %ecx, written
        cmpl    $0, RANDOM(%ebp)
        jne     shoot
        cmpl    $0, slice(, %esi, 4)
        je      5f
        movl    cursor(, %esi, 4), %ebx /* in order */
3:      cmpl    slice(, %esi, 4), %ebx
        jb      4f
        xorl    %ebx, %ebx
4:      movl    %ebx, %edi
        addl    first(, %esi, 4), %edi
        addl    FIRST(%ebp), %edi
        shll    $12, %edi
        incl    BASE + 8(%edi)
        incl    %ebx
        decl    %ecx
        jnz     3b
        movl    %ebx, cursor(, %esi, 4)
5:      ret

shoot:  call    random                  /* at random: first whether hot, then where */
        movl    HOT(%ebp), %edx
        xorl    %ebx, %ebx
        cmpl    SHARE(%ebp), %eax
        jb      5f
        movl    %edx, %ebx
        movl    PAGES(%ebp), %edx
        subl    %ebx, %edx
5:      movl    %edx, %edi
        call    random
        mull    %edi
        leal    (%ebx, %edx), %edi
        addl    FIRST(%ebp), %edi
        shll    $12, %edi
        lock incl BASE + 8(%edi)
        decl    %ecx
        jnz     shoot
        ret

/* Start the other processors, and wait until they are there. */
start_others:
        cmpl    $0, others
        je      2f
        movl    $ap_start, %esi
        movl    $AP_START, %edi
        movl    $(ap_end - ap_start), %ecx
        rep movsb
        movl    $(TO_OTHERS | 0x500), APIC_ICR          /* INIT, and 10 ms later go */
        movl    $BEAT, %ecx
        call    pass
        movl    $(TO_OTHERS | 0x600 | AP_START >> 12), APIC_ICR
        movl    $STARTUP_TICKS, %ecx
1:      movl    arrived, %eax
        cmpl    others, %eax
        je      2f
        pushl   %ecx
        movl    $100, %ecx
        call    pass
        popl    %ecx
        subl    $100, %ecx
        ja      1b
        movl    $missing_text, %esi
        call    print
        hlt
2:      ret

/* Let ecx ticks pass. */
pass:   call    clock
        movl    %eax, %ebx
1:      pause
        call    clock
        subl    %ebx, %eax
        andl    $0xffffff, %eax
        cmpl    %ecx, %eax
        jb      1b
        ret

        .code16                         /* a copy of this is run, at AP_START */
ap_start:
        cli
        xorw    %ax, %ax
        movw    %ax, %ds
        lgdtl   gdtr
        movl    %cr0, %eax
        orl     $1, %eax
        movl    %eax, %cr0
        ljmpl   $8, $another
ap_end:
        .code32
another:
        movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $1, %esi
        lock xaddl %esi, arrived
        incl    %esi                    /* its number: 1 for the first of the others */
        movl    %esi, %esp
        shll    $9, %esp
        addl    $AP_STACKS, %esp
        cld
        lidt    idtr
        movl    $0x12f, APIC_SVR        /* on; spurious ones go to 0x2f */
1:      cli
        movl    todo(, %esi, 4), %ecx
        testl   %ecx, %ecx
        jnz     2f
        sti
        hlt
        jmp     1b
2:      sti
        movl    current, %ebp
        call    work
        movl    $0, todo(, %esi, 4)
        jmp     1b

/* Go to phase eax, or to `again` after the last one. Keeps ecx. */
enter:  cmpl    phases, %eax
        jb      1f
        movl    again, %eax
1:      movl    %eax, phase
        imull   $PHASE_BYTES, %eax
        leal    table(%eax), %ebp
        movl    %ebp, current
        movl    LENGTH(%ebp), %eax
        movl    %eax, left
        pushl   %ecx
        movl    PAGES(%ebp), %eax       /* each has an equal part, the first one what remains */
        xorl    %edx, %edx
        movl    others, %ecx
        incl    %ecx
        divl    %ecx
        movl    PAGES(%ebp), %edx       /* edx: where the part after this one begins */
        jmp     3f
2:      movl    %eax, slice(, %ecx, 4)
        subl    %eax, %edx
        movl    %edx, first(, %ecx, 4)
        movl    $0, cursor(, %ecx, 4)
3:      decl    %ecx
        jnz     2b
        movl    %edx, slice
        movl    $0, cursor
        popl    %ecx
        ret

/* eax: a 32-bit random number, of processor esi. Uses edx. */
random: movl    seed(, %esi, 4), %eax
        movl    %eax, %edx              /* xorshift: 13, 17, 5 */
        shll    $13, %edx
        xorl    %edx, %eax
        movl    %eax, %edx
        shrl    $17, %edx
        xorl    %edx, %eax
        movl    %eax, %edx
        shll    $5, %edx
        xorl    %edx, %eax
        movl    %eax, seed(, %esi, 4)
        ret

/* eax: the ACPI timer, 24 bits of it. Uses edx. */
clock:  movl    $PM_TIMER, %edx
        inl     %dx, %eax
        andl    $0xffffff, %eax
        ret

/* One beat if it is due, after ecx more ticks. A guest that is late by more than one beat
   drops the others: they are lost. */
beat:   addl    %ecx, since
        cmpl    $BEAT, since
        jb      3f
        subl    $BEAT, since
        cmpl    $BEAT, since
        jb      1f
        movl    $0, since
1:      movl    beats, %eax
        xorl    %edx, %edx
        movl    $100, %ecx
        divl    %ecx
        testl   %edx, %edx
        jnz     2f
        movb    $10, %al                /* first of a hundred: the numbers */
        call    put
        movl    beats, %eax
        call    number
        movl    written, %eax
        call    number
2:      movl    beats, %eax
        incl    beats
        xorl    %edx, %edx
        movl    $10, %ecx
        divl    %ecx
        leal    97(%edx), %eax
        call    put
3:      ret

/* Print eax as ten decimal digits and a blank. */
number: movl    $10, %ecx
        movl    $(digits + 9), %edi
        movl    $10, %ebx
1:      xorl    %edx, %edx
        divl    %ebx
        addb    $48, %dl
        movb    %dl, (%edi)
        decl    %edi
        decl    %ecx
        jnz     1b
        movl    $digits, %esi
print:  lodsb                           /* print the text at esi */
        testb   %al, %al
        jz      2f
        call    put
        jmp     print
2:      ret

/* Send al, when the line is free; not for ever. Uses ecx, edx. */
put:    movb    %al, %ah
        movl    $10000, %ecx
1:      movl    $(COM1 + 5), %edx
        inb     %dx, %al
        testb   $0x20, %al
        jnz     2f
        decl    %ecx
        jnz     1b
2:      movb    %ah, %al
        movl    $COM1, %edx
        outb    %al, %dx
        ret

no_timer:
        movl    $timer_text, %esi
        call    print
1:      hlt
        jmp     1b

woken:  movl    $0, APIC_EOI            /* the interrupts: only to wake */
        iret
tick:   pushl   %eax
        movb    $0x20, %al
        outb    %al, $0x20
        popl    %eax
spurious:                               /* the PIC sends 0x27 for a pulse that is over already */
        iret

hello:  .asciz  "\nMIGPOLICY LAB GUEST\n"
timer_text:
        .asciz  "\nNO ACPI TIMER: THE DOMAIN NEEDS THE FEATURE ACPI\n"
missing_text:
        .asciz  "\nTHE DOMAIN HAS FEWER PROCESSORS THAN THE GUEST\n"
digits: .asciz  "0000000000 "
        .balign 4
last:   .long   0
since:  .long   BEAT
left:   .long   0
phase:  .long   0
current:
        .long   table
arrived:
        .long   0
cursor: .fill   MOST, 4, 0
first:  .fill   MOST, 4, 0              /* of each one's part of the set, and how many pages */
slice:  .fill   MOST, 4, 0
todo:   .fill   MOST, 4, 0
fraction:
        .long   0
seed:   .long   0x2545f491, 0x9e3779b9, 0x7f4a7c15, 0x85ebca6b
        .long   0xc2b2ae35, 0x27d4eb2f, 0x165667b1, 0xd3a2646c
        .globl  beats, written
beats:  .long   0
written:
        .long   0
        .org    512 * (LOAD_SECTORS + 1)
